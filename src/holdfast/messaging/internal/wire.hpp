// A Message as an outside broker carries it: CloudEvents 1.0 in binary mode (the NATS, Kafka and HTTP
// bindings agree on it): attributes as headers "ce-…" with values percent-encoded, the payload as the body.
// What CloudEvents has no attribute for is an extension ("ce-holdfastposition"); the message's own headers
// are "hf-<name>", traceparent also by its plain name, for whoever else reads it.
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/messaging/message.hpp"

namespace holdfast::messaging {

using WireHeaders = std::vector<std::pair<std::string, std::string>>;

WireHeaders to_wire(const Message& message);

/// Names in any case. Throws Error(invalid_argument, "message_malformed") for what to_wire() did not write.
Message from_wire(const WireHeaders& headers, std::string payload);

}  // namespace holdfast::messaging
