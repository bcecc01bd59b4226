#include "holdfast/http/internal/start_queue.hpp"

#include <algorithm>

namespace holdfast::http {
namespace {

constexpr int kSmoothing = 8;  // a turn counts 1/8 in the pace

}  // namespace

bool StartQueue::begins_at_once(Instant turn) noexcept {
  if (waiting_ > 0) return false;
  if (turn != turn_) {
    turn_ = turn;
    begun_ = 0;
    was_waiting_ = false;
  }
  if (begun_ == starts_a_turn()) return false;
  ++begun_;
  return true;
}

Duration StartQueue::too_long_a_wait(Priority priority) const noexcept {
  if (waiting_ == 0 || priority == Priority::critical) return Duration(0);
  std::size_t ahead = 0;
  for (std::size_t i = 0; i <= resilience::index_of(priority); ++i) ahead += lines_[i].size();
  const Duration wait = pace_ * static_cast<std::int64_t>(ahead);
  return wait > max_wait_ ? wait : Duration(0);
}

std::size_t StartQueue::begin_turn(Instant now) noexcept {
  if (was_waiting_ && begun_ > 0) {
    const Duration seen = (now - turn_) / static_cast<std::int64_t>(begun_);
    pace_ = pace_ == Duration(0) ? seen : pace_ + (seen - pace_) / kSmoothing;
  }
  turn_ = now;
  was_waiting_ = true;
  begun_ = std::min(waiting_, starts_a_turn());
  return begun_;
}

Connection* StartQueue::pop() noexcept {
  for (auto& line : lines_) {
    if (line.empty()) continue;
    Connection* const first = line.front().connection;
    line.pop_front();
    --waiting_;
    return first;
  }
  return nullptr;
}

Connection* StartQueue::pop_expired(Instant now) noexcept {
  for (auto& line : lines_) {
    if (line.empty() || now - line.front().since <= max_wait_) continue;
    Connection* const first = line.front().connection;
    line.pop_front();
    --waiting_;
    return first;
  }
  return nullptr;
}

std::size_t StartQueue::starts_a_turn() const noexcept {
  if (pace_ <= Duration(0)) return kMostATurn;
  return static_cast<std::size_t>(std::clamp<std::int64_t>(kTurn / pace_, 1, kMostATurn));
}

}  // namespace holdfast::http
