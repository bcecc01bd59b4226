// Relay: takes what is committed to the outbox to an outside broker, each bucket's messages one after the
// other in the order of their positions, and remembers how far it is once the broker has acknowledged.
//
//   Relay relay(runtime, db, outbox, jetstream, metrics, log.logger("messaging"));
//   relay.start(ctx);  …  relay.stop(ctx.with_timeout(10s));
//
// It is a group of its own over the outbox ("outbox-relay"), so any number of processes share the work, and
// a killed one's is taken over. At least once: after a crash the last messages are sent again. While the
// broker is away the outbox keeps everything; the relay tries for ever, with jitter. What the broker refuses
// for good becomes a dead letter of the group, and once redriven a new entry of the outbox.
// Thread-safety: start/stop from one fiber; state() from any.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/messaging/broker.hpp"
#include "holdfast/messaging/embedded/slot_log.hpp"
#include "holdfast/messaging/outbox.hpp"
#include "holdfast/messaging/sink.hpp"
#include "holdfast/resilience/backoff.hpp"

namespace holdfast::messaging {

inline constexpr std::string_view kRelayGroup = "outbox-relay";

struct RelayOptions {
  BrokerOptions broker;
  /// PostgreSQL only: the outbox is heard by a replication slot, and read from its table where it can't be.
  std::optional<SlotOptions> slot{};
  Duration send_timeout = std::chrono::seconds(5);  ///< one try
  resilience::BackoffOptions backoff = {.base = std::chrono::milliseconds(50),
                                        .cap = std::chrono::seconds(5),
                                        .jitter = resilience::Jitter::equal};
  Duration watch = std::chrono::seconds(1);        ///< how often state() and its metrics are made anew
  Duration late_after = std::chrono::seconds(10);  ///< older unsent messages make it unhealthy
};

struct RelayState {
  bool running = false;              ///< the broker was reached and taken as its own
  std::int64_t unsent = 0;           ///< positions between the outbox's end and the slowest bucket
  std::optional<WallTime> oldest{};  ///< of what was not sent yet
  std::string error{};               ///< of the last try that failed; empty since one succeeded
  bool late = false;
  SlotLogState slot{};  ///< where there is one
};

class Relay {
 public:
  /// All are borrowed and must outlive it.
  Relay(runtime::Runtime& runtime, sql::Database& database, Outbox& outbox, Sink& sink,
        observe::Metrics& metrics, observe::Logger logger, RelayOptions options = {});
  ~Relay();

  /// Returns at once: the broker may be away.
  void start(const Context& ctx);
  /// Lets what is under way be acknowledged (until ctx's deadline), and releases its leases. Idempotent.
  void stop(const Context& ctx);
  /// As kill -9 would. For tests and drills.
  void abandon() noexcept;

  RelayState state() const;

  /// Where no broker is used any more, nothing may wait for it: forgets the group, unless a worker of it is
  /// alive. True where there is none now.
  static bool retire(const Context& ctx, sql::Database& database);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace holdfast::messaging
