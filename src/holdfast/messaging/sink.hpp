// Sink: where the relay (relay.hpp) takes the outbox's messages; one adapter a kind of broker, the other half
// of its Source.
//
// The relay never has two messages of a bucket under way at once, so a sink need not keep their order. It
// does need to say truly what the broker has: a message is sent again until it is acknowledged.
// Thread-safety: everything from the relay's loop only.
#pragma once

#include <cstdint>
#include <string>

#include "holdfast/messaging/message.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::messaging {

class Sink {
 public:
  virtual ~Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  /// Returns once the broker has it durably, in the log that log_identity() named so. Throws Error: too_large
  /// or invalid_argument where it can never be sent; anything else to be asked again.
  virtual void send(const Context& ctx, const std::string& log, const Message& message) = 0;

  /// Names the broker's log itself, as it was made once: another name means that what was sent before is not
  /// in it. Throws Error(unavailable) while the broker can't be asked.
  virtual std::string log_identity(const Context& ctx) = 0;

  /// The highest position in the log, or a lower one that is close to it; 0 where there is none or it can't
  /// be told.
  virtual std::int64_t last_position(const Context& ctx) = 0;

 protected:
  Sink() = default;
};

}  // namespace holdfast::messaging
