// Client: libnats' connection, bridged to fibers. libnats calls back on threads of its own; those put what
// came where a fiber finds it, and wake the fiber. Nothing here blocks a loop: connecting, which does, runs
// on a thread of its own pool; the rest of libnats' calls write into a buffer.
//
// libnats' own reconnecting is off: a lost connection is over, with all that was under way on it, and the
// owner makes the next one. So nothing that was given up is sent later out of a buffer.
// Thread-safety: from one loop; the callbacks from libnats' threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "holdfast/messaging/internal/wire.hpp"
#include "holdfast/messaging/nats/jetstream.hpp"
#include "holdfast/runtime/offload.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::messaging::nats {

/// A message as it came.
struct Incoming {
  std::string subject;
  std::string reply;
  int status = 0;  ///< of the server's own answers without a body: 404, 408, 409, 503; else 0
  std::string description;
  WireHeaders headers;
  std::string body;
};

/// Where messages that were asked for arrive, many to one.
struct Mailbox {
  explicit Mailbox(runtime::Signal& the_signal) : signal(the_signal) {}
  runtime::Signal& signal;  ///< notified for each
  std::deque<Incoming> arrived;
};

class Client {
 public:
  /// `options` outlives it.
  Client(runtime::Runtime& runtime, const Options& options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Throws Error: failed_precondition where trying again is no use, else unavailable.
  void connect(const Context& ctx);
  /// Flushes what was published and ends the connection. Idempotent.
  void disconnect() noexcept;
  bool connected() const noexcept;
  /// Grows with each connection.
  std::uint64_t generation() const noexcept { return generation_; }
  /// Notified when a connection was made or lost.
  runtime::Signal& changed() noexcept;
  std::int64_t max_payload() const noexcept { return max_payload_; }
  /// This client's own part in names; letters and digits.
  std::string_view tag() const noexcept;

  /// Publishes and waits for the answer. Throws Error: unavailable (not connected, connection lost, nobody
  /// listens, no answer in time), too_large, cancelled.
  Incoming request(const Context& ctx, const std::string& subject, const WireHeaders& headers,
                   std::string_view body);

  /// A mailbox's address, for publish(). Its messages are dropped from close_mailbox() on.
  std::uint64_t open_mailbox(std::shared_ptr<Mailbox> mailbox);
  void close_mailbox(std::uint64_t id) noexcept;
  /// What has arrived since the last time.
  std::deque<Incoming> take(Mailbox& mailbox);
  /// Publishes with the mailbox as reply subject; false where that can't be done now.
  [[nodiscard]] bool publish(const std::string& subject, std::uint64_t mailbox, std::string_view body);

 private:
  struct Link;
  struct Libnats;

  runtime::Runtime& runtime_;
  const Options& options_;
  const std::string inbox_;     // the prefix of all our reply subjects
  std::shared_ptr<Link> link_;  // shared with libnats' callbacks, which may come late
  std::unique_ptr<Libnats> libnats_;
  std::uint64_t generation_ = 0;
  std::int64_t max_payload_ = 0;
  runtime::OffloadPool connecting_;
};

}  // namespace holdfast::messaging::nats
