#include "holdfast/runtime/sync.hpp"

#include <algorithm>

namespace holdfast::runtime {

namespace {

void forget(std::vector<Waker>& waiting, const Waker& waker) {
  const auto found = std::find(waiting.begin(), waiting.end(), waker);
  if (found != waiting.end()) waiting.erase(found);
}

}  // namespace

std::uint64_t Signal::version() const noexcept {
  const std::lock_guard lock(mutex_);
  return version_;
}

void Signal::notify() noexcept {
  std::vector<Waker> waiting;
  {
    const std::lock_guard lock(mutex_);
    ++version_;
    waiting.swap(waiting_);
  }
  wake_all(waiting);
}

Woken Signal::wait_past(const Context& ctx, std::uint64_t seen, const char* where) {
  for (;;) {
    const Waker waker = prepare_wait(where);
    {
      const std::lock_guard lock(mutex_);
      if (version_ > seen) return Woken::by_event;
      waiting_.push_back(waker);
    }
    const Woken woken = park(ctx, where);
    const std::lock_guard lock(mutex_);
    if (version_ > seen) return Woken::by_event;
    forget(waiting_, waker);
    if (woken != Woken::by_event) return woken;
  }
}

void Latch::open() noexcept {
  std::vector<Waker> waiting;
  {
    const std::lock_guard lock(mutex_);
    open_ = true;
    waiting.swap(waiting_);
  }
  wake_all(waiting);
}

bool Latch::is_open() const noexcept {
  const std::lock_guard lock(mutex_);
  return open_;
}

void Latch::wait(const Context& ctx, const char* where) {
  for (;;) {
    const Waker waker = prepare_wait(where);
    {
      const std::lock_guard lock(mutex_);
      if (open_) return;
      waiting_.push_back(waker);
    }
    const Woken woken = park(ctx, where);
    const std::lock_guard lock(mutex_);
    if (open_) return;
    forget(waiting_, waker);
    throw_unless_event(woken, where);
  }
}

Semaphore::Semaphore(std::size_t permits, std::size_t max_waiting)
    : permits_(permits), max_waiting_(max_waiting) {}

bool Semaphore::try_acquire() noexcept {
  const std::lock_guard lock(mutex_);
  if (permits_ == 0) return false;
  --permits_;
  return true;
}

void Semaphore::acquire(const Context& ctx, const char* where) {
  if (try_acquire()) return;
  const Waker waker = prepare_wait(where);
  bool granted = false;
  {
    const std::lock_guard lock(mutex_);
    if (permits_ > 0) {
      --permits_;
      return;
    }
    if (waiting_.size() >= max_waiting_) {
      throw Error(ErrorCode::unavailable, "Too many requests are waiting for the same thing.")
          .reason("queue_full")
          .cause(std::string("waiting room of ") + where)
          .retry_after(std::chrono::seconds(1));
    }
    waiting_.push_back({waker, &granted});
  }
  const Woken woken = park(ctx, where);
  const std::lock_guard lock(mutex_);
  if (granted) return;  // also when the deadline came at the same moment: the permit is ours
  std::erase_if(waiting_, [&](const Waiting& entry) { return entry.granted == &granted; });
  throw_unless_event(woken, where);
}

void Semaphore::release() noexcept {
  Waker next;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) {
      ++permits_;
      return;
    }
    next = waiting_.front().waker;
    *waiting_.front().granted = true;
    waiting_.pop_front();
  }
  next.wake();
}

std::size_t Semaphore::available() const noexcept {
  const std::lock_guard lock(mutex_);
  return permits_;
}

}  // namespace holdfast::runtime
