// The page at `/`: what paysim has charged, the webhooks it has sent, and the behaviour in force with
// buttons to change it. One file, no other host, held in the binary. Everything shown is set as text.
#pragma once

#include "holdfast/http/response.hpp"

namespace holdfast::paysim {

/// HTML with a Content-Security-Policy that lets it run its own script and talk to this server only.
http::Response page();

}  // namespace holdfast::paysim
