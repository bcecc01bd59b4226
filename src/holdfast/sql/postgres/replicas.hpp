// Read replicas of a PostgreSQL: hot standbys that answer what may be a little late. How late each is is
// measured; one that is too late, or away, is left out until it is neither.
//
//   Replicas replicas(runtime, *primary, {{.name = "a", .options = …}}, metrics, logger, {.max_lag = 5s});
//   background.spawn("replicas", [&](const Context& own) { replicas.run(own); });
//   auto list = replicas.reads().read(ctx, …);               // a replica's, or the primary's
//   const Position written = replicas.position(ctx);         // after a transaction: what a client is told
//   replicas.reads(written).query(…);                        // sees that transaction for certain
//
// A read that a replica fails goes to the primary, unseen. Transactions always do. Thread-safety: any fiber
// of any loop; run() on one, made and destroyed on a fiber.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/runtime.hpp"
#include "holdfast/sql/database.hpp"
#include "holdfast/sql/postgres/database.hpp"
#include "holdfast/sql/postgres/position.hpp"

namespace holdfast::sql::postgres {

struct ReplicaOptions {
  Duration max_lag = std::chrono::seconds(5);
  Duration look_every = std::chrono::milliseconds(250);  ///< so much is added to what is known of the lag
  Duration look_timeout = std::chrono::seconds(1);
};

enum class ReplicaState : std::uint8_t {
  used,
  late,        ///< more than max_lag behind
  away,        ///< can't be asked
  no_standby,  ///< it takes writes: promoted, or never a standby of anything
};
HOLDFAST_DESCRIBE_ENUM(ReplicaState, used, late, away, no_standby)

struct ReplicaView {
  std::string name;
  ReplicaState state = ReplicaState::away;
  double lag_seconds = 0;  ///< as of the last look
  std::string replayed;    ///< up to here it shows the primary's transactions
  std::uint64_t reads = 0;
  std::uint64_t failed_over = 0;  ///< reads that it failed and the primary answered
  std::string error;              ///< why it could not be asked
};
HOLDFAST_DESCRIBE(ReplicaView, (name, state, lag_seconds, replayed, reads, failed_over, error))

class Replicas {
 public:
  struct Replica {
    std::string name;  ///< for people and metrics: without a password
    Options options;
  };

  /// `primary` and the references are borrowed. Connects to no replica yet.
  Replicas(runtime::Runtime& runtime, Database& primary, std::vector<Replica> replicas,
           observe::Metrics& metrics, observe::Logger logger, ReplicaOptions options = {});
  ~Replicas();
  Replicas(const Replicas&) = delete;
  Replicas& operator=(const Replicas&) = delete;

  /// Measures, until `ctx` is cancelled.
  void run(const Context& ctx);
  /// One measurement of all. For tests.
  void look(const Context& ctx);

  /// For reads that may be late, but must see what is before `after`: one of the replicas that are used, in
  /// turn, or the primary where none will do. Use it at once; it lives as long as this.
  Database& reads(std::optional<Position> after = {});

  /// Everything that was committed before this call is before it. Asks the primary.
  Position position(const Context& ctx);

  std::vector<ReplicaView> view() const;

 private:
  class Standby;
  struct Sample {
    Instant at;
    Position position;
  };
  void sample_primary(const Context& ctx);
  void look_at(const Context& ctx, Standby& standby);
  Duration lag_of(Position replayed, Instant now) const;

  runtime::Runtime& runtime_;
  Database& primary_;
  const observe::Logger logger_;
  const ReplicaOptions options_;
  std::vector<std::unique_ptr<Standby>> standbys_;
  std::atomic<std::size_t> turn_{0};
  std::deque<Sample> samples_;  // of the primary, oldest first; run()'s own
};

}  // namespace holdfast::sql::postgres
