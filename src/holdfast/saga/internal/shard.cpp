#include "holdfast/saga/internal/shard.hpp"

#include <utility>

#include "holdfast/saga/internal/runner.hpp"

namespace holdfast::saga::internal {
namespace {

constexpr int kCommitters = 2;

}  // namespace

void Shard::push(Arrival arrival) {
  const std::lock_guard lock(mutex_);
  arrivals_.push_back(std::move(arrival));
}

std::vector<Arrival> Shard::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(arrivals_, {});
}

void Shard::carry(const Arrival& arrival) {
  Instance& saga = *arrival.saga;
  Runner runner(desk_, committer_, saga, arrival.cancellation);
  runner.run();
  if (runner.left_open()) desk_.roster.note_open_act(saga.bucket, saga.fence);
  desk_.leave(saga.id, saga.bucket, saga.fence);
}

/// A fiber goes on with those that wait, as long as there are any.
void Shard::begin(runtime::FiberGroup& sagas, Arrival arrival) {
  const Arrival refused = arrival;
  try {
    ++running_;
    sagas.spawn("saga", [this, next = std::move(arrival)](const Context&) mutable {
      for (carry(next); !waiting_.empty(); carry(next)) {
        next = std::move(waiting_.front());
        waiting_.pop_front();
      }
      --running_;
    });
  } catch (const Error&) {  // no stack left: the poll finds it again
    --running_;
    desk_.leave(refused.saga->id, refused.saga->bucket, refused.saga->fence);
  }
}

void Shard::run() {
  const Context ctx = desk_.runtime.context();
  runtime::FiberGroup committers(ctx);
  for (int i = 0; i < kCommitters; ++i)
    committers.spawn("saga committer", [this](const Context& inner) { committer_.run(inner); });
  runtime::FiberGroup sagas(ctx);
  for (;;) {
    const std::uint64_t seen = arrived_.version();
    for (Arrival& arrival : take()) {
      if (desk_.stopping) {
        desk_.leave(arrival.saga->id, arrival.saga->bucket, arrival.saga->fence);
      } else if (running_ >= concurrency_) {
        waiting_.push_back(std::move(arrival));
      } else {
        begin(sagas, std::move(arrival));
      }
    }
    if (desk_.stopping) break;
    arrived_.wait_past(ctx, seen, "waiting for sagas");
  }
  sagas.wait();
  committer_.close();
  committers.wait();
}

}  // namespace holdfast::saga::internal
