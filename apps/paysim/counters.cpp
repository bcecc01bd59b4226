#include "paysim/counters.hpp"

#include <algorithm>
#include <numeric>

#include "holdfast/base/json.hpp"

namespace holdfast::paysim {

std::uint64_t Counters::Second::total() const noexcept {
  return std::accumulate(calls.begin(), calls.end(), std::uint64_t{0});
}

void Counters::arrived(Operation operation) {
  const auto at = std::chrono::floor<std::chrono::seconds>(clock_.wall_now()).time_since_epoch().count();
  const auto index = static_cast<std::size_t>(operation);
  const std::lock_guard lock(mutex_);
  ++calls_[index];
  if (seconds_.empty() || seconds_.back().at != at) {
    if (seconds_.size() == kMaxSeconds) seconds_.pop_front();
    seconds_.push_back({.at = at, .calls = {}});
  }
  ++seconds_.back().calls[index];
}

void Counters::replayed() {
  const std::lock_guard lock(mutex_);
  ++replays_;
}

void Counters::misbehaved(Action action) {
  const std::lock_guard lock(mutex_);
  ++misbehaved_[static_cast<std::size_t>(action)];
}

void Counters::answered(int status) {
  const std::lock_guard lock(mutex_);
  ++statuses_[status];
}

void Counters::reset() {
  const std::lock_guard lock(mutex_);
  calls_.fill(0);
  misbehaved_.fill(0);
  statuses_.clear();
  replays_ = 0;
  seconds_.clear();
}

std::string Counters::json() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t total = 0;
  std::uint64_t highest = 0;
  std::array<std::uint32_t, kOperations> highest_by{};
  for (const Second& second : seconds_) {
    highest = std::max(highest, second.total());
    for (std::size_t i = 0; i < kOperations; ++i) highest_by[i] = std::max(highest_by[i], second.calls[i]);
  }
  for (const std::uint64_t calls : calls_) total += calls;
  std::string out;
  JsonWriter writer(out);
  const auto by_operation = [&](const auto& counts) {
    for (std::size_t i = 0; i < kOperations; ++i) {
      if (counts[i] > 0) writer.member(enum_name(static_cast<Operation>(i)), counts[i]);
    }
  };
  writer.begin_object().member("total", total).key("operations").begin_object();
  by_operation(calls_);
  writer.end_object().member("replays", replays_).key("statuses").begin_object();
  for (const auto& [status, count] : statuses_) writer.member(std::to_string(status), count);
  writer.end_object().key("misbehaved").begin_object();
  for (std::size_t i = 0; i < kActions; ++i) {
    if (misbehaved_[i] > 0) writer.member(enum_name(static_cast<Action>(i)), misbehaved_[i]);
  }
  writer.end_object().member("highestPerSecond", highest).key("highestPerSecondBy").begin_object();
  by_operation(highest_by);
  writer.end_object().key("seconds").begin_array();
  for (const Second& second : seconds_) {
    writer.begin_object().member("at", second.at).member("total", second.total());
    by_operation(second.calls);
    writer.end_object();
  }
  writer.end_array().end_object();
  return out;
}

}  // namespace holdfast::paysim
