#include "holdfast/idempotency/internal/in_flight.hpp"

#include "holdfast/base/error.hpp"

namespace holdfast::idempotency {

InFlight::Visit::Visit(InFlight& registry, const Scope& scope) : registry_(registry), scope_(scope) {
  Shard& shard = registry_.shard(scope_);
  const std::lock_guard lock(shard.mutex);
  if (const auto found = shard.keys.find(scope_); found != shard.keys.end()) {
    first_ = false;
    done_ = found->second;
    return;
  }
  if (registry_.keys() >= registry_.max_keys_) return;  // first, and nobody will know
  done_ = shard.keys.emplace(scope_, std::make_shared<runtime::Latch>()).first->second;
  registry_.keys_.fetch_add(1, std::memory_order_relaxed);
}

InFlight::Visit::~Visit() {
  if (!first_ || done_ == nullptr) return;
  {
    Shard& shard = registry_.shard(scope_);
    const std::lock_guard lock(shard.mutex);
    shard.keys.erase(scope_);
  }
  registry_.keys_.fetch_sub(1, std::memory_order_relaxed);
  done_->open();
}

bool InFlight::Visit::wait(const Context& ctx) {
  try {
    done_->wait(ctx, "waiting for the same idempotency key");
    return true;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::deadline_exceeded) throw;
    return false;
  }
}

}  // namespace holdfast::idempotency
