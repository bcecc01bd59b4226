// Shard: the sagas that run on one event loop: a fiber each, and the committer of their results.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "holdfast/runtime/fiber.hpp"
#include "holdfast/saga/internal/committer.hpp"

namespace holdfast::saga::internal {

/// A saga that has its place in the roster.
struct Arrival {
  std::shared_ptr<Instance> saga;  // shared: a std::function carries it, which must be copyable
  runtime::CancellationToken cancellation;
};

class Shard {
 public:
  /// Runs at most `concurrency` at a time; what is pushed beyond waits its turn.
  Shard(Desk& desk, std::size_t concurrency) : desk_(desk), concurrency_(concurrency), committer_(desk) {}

  /// Any thread; does not wait, since a commit calls it. Notify arrived() afterwards.
  void push(Arrival arrival);
  runtime::Signal& arrived() noexcept { return arrived_; }
  /// The root fiber, on its loop; returns when Desk::stopping is set and nothing runs any more.
  void run();
  void wake() noexcept { arrived_.notify(); }

 private:
  std::vector<Arrival> take();
  void begin(runtime::FiberGroup& sagas, Arrival arrival);
  void carry(const Arrival& arrival);

  Desk& desk_;
  const std::size_t concurrency_;
  Committer committer_;
  std::mutex mutex_;
  std::vector<Arrival> arrivals_;
  runtime::Signal arrived_;
  std::deque<Arrival> waiting_;  // of its loop, as what follows
  std::size_t running_ = 0;
};

}  // namespace holdfast::saga::internal
