// Headers as the tables keep them: one JSON object of strings.
#pragma once

#include <string>

#include "holdfast/messaging/message.hpp"

namespace holdfast::messaging {

std::string headers_json(const Headers& headers);

/// `json` is what headers_json() or the outbox wrote.
Headers parse_headers(const std::string& json);

}  // namespace holdfast::messaging
