// What JetStream says about a message it delivers, in the reply subject (NATS ADR-15): "$JS.ACK.<stream>.
// <consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time>.<pending>", or with a domain and an
// account's hash before the stream and more tokens at the end.
//
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::messaging::nats {

struct Delivery {
  std::string_view consumer;
  std::uint64_t stream_sequence = 0;
  std::uint64_t consumer_sequence = 0;  ///< from 1, without gaps
  std::uint64_t pending = 0;            ///< that match the consumer and come after it
};

/// Views into `reply`. None for any other subject.
std::optional<Delivery> parse_delivery(std::string_view reply);

}  // namespace holdfast::messaging::nats
