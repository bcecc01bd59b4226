// Subscriber: listens to channels of a Redis, on a connection of its own, which comes back by itself. Pub/sub
// forgets what nobody heard, so a Subscriber also says how far it can be believed:
//
//   Subscriber listener(runtime, {.connection = {…}, .channels = {"invalidations"}},
//                       {.on_message = [&](std::string_view channel, std::string_view text) { … },
//                        .on_connected = [&] { forget_everything(); }}, logger);
//   listener.heard_until()    // everything published before that instant has been passed on
//
// Callbacks run on loop 0, outside of fibers: they must not wait and must not throw. Thread-safety: any
// thread; destroyed on a fiber.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/observe/log.hpp"
#include "holdfast/redis/connection.hpp"
#include "holdfast/runtime/runtime.hpp"

namespace holdfast::redis {

struct SubscriberOptions {
  ConnectionOptions connection;
  std::vector<std::string> channels;  ///< at least one
  /// A question to the server that is answered after all that was published before.
  Duration ping_every = std::chrono::milliseconds(500);
};

class Subscriber {
 public:
  struct Handlers {
    std::function<void(std::string_view channel, std::string_view text)> on_message;
    /// Listening from here on; what was published while it was not, was missed. Also the first time.
    std::function<void()> on_connected = {};
    std::function<void()> on_lost = {};
  };

  /// `runtime` is borrowed.
  Subscriber(runtime::Runtime& runtime, SubscriberOptions options, Handlers handlers, observe::Logger logger);
  ~Subscriber();
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  /// While it listens: an instant before which nothing was published that has not been passed on. The
  /// earliest instant there is while it does not listen.
  Instant heard_until() const noexcept;
  bool listening() const noexcept { return heard_until() != Instant::min(); }

 private:
  struct State;
  runtime::Runtime* runtime_;
  std::shared_ptr<State> state_;  // shared with what is posted to its loop
};

}  // namespace holdfast::redis
