// Membership: keeps this process's heartbeat going and its share of every group's buckets: takes free
// ones, gives up what is above its share, drops what was lost.
//
// Everything on the loop of the Consumers, except join().
#pragma once

#include <memory>
#include <vector>

#include "holdfast/messaging/engine/internal/consumer.hpp"
#include "holdfast/messaging/engine/internal/worker_state.hpp"

namespace holdfast::messaging::engine {

class Membership {
 public:
  using Consumers = std::vector<std::unique_ptr<Consumer>>;

  /// Both must outlive it.
  Membership(WorkerState& worker, Consumers& consumers) : worker_(worker), consumers_(consumers) {}

  /// Makes the groups and this worker known. Throws what the database throws.
  void join(const Context& ctx);

  /// Until WorkerState::stopping.
  void run(const Context& ctx);

  /// One round: a heartbeat if it is time for one, then shares.
  void tick(const Context& ctx);

  /// Releases all leases, so that others take over at once.
  void leave(const Context& ctx);

 private:
  void beat(const Context& ctx);
  void balance(const Context& ctx, Consumer& consumer);
  void take(const Context& ctx, Consumer& consumer, std::int64_t most);
  void release(const Context& ctx);
  void adopt(const Context& ctx, Consumer& consumer);
  WallTime expiry() const;

  WorkerState& worker_;
  Consumers& consumers_;
  Instant joined_{};
  Instant next_beat_{};
  std::optional<WallTime> next_expiry_;  // of other workers
};

}  // namespace holdfast::messaging::engine
