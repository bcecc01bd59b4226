// The page at /docs: reads /openapi.json, lists the operations with their schemas and examples, and lets
// them be tried. One file, no other host, held in the binary (docs/adr/0009-own-api-page.md).
#pragma once

#include "holdfast/http/response.hpp"

namespace holdfast::http {

/// HTML with a Content-Security-Policy that lets it run its own script and talk to this server only.
Response docs_page();

}  // namespace holdfast::http
