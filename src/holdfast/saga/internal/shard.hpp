// Shard: the sagas that run on one event loop: a fiber each, and the committer of their results.
#pragma once

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
  explicit Shard(Desk& desk) : desk_(desk), committer_(desk) {}

  /// Any thread; does not wait, since a commit calls it. Notify arrived() afterwards.
  void push(Arrival arrival);
  runtime::Signal& arrived() noexcept { return arrived_; }
  /// The root fiber, on its loop; returns when Desk::stopping is set and nothing runs any more.
  void run();
  void wake() noexcept { arrived_.notify(); }

 private:
  std::vector<Arrival> take();
  void carry(const Arrival& arrival);

  Desk& desk_;
  Committer committer_;
  std::mutex mutex_;
  std::vector<Arrival> arrivals_;
  runtime::Signal arrived_;
};

}  // namespace holdfast::saga::internal
