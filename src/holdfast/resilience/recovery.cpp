#include "holdfast/resilience/recovery.hpp"

#include <algorithm>
#include <cmath>

namespace holdfast::resilience {
namespace {

constexpr Duration kObservedEvery = std::chrono::seconds(1);
constexpr double kRemembered = 60;  // seconds; what is older fades
constexpr double kBurst = 0.1;      // seconds of the rate that may come at once

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

void Recovery::observe(Instant now, std::uint64_t good) noexcept {
  const std::lock_guard lock(mutex_);
  next_observation_.store((now + kObservedEvery).time_since_epoch().count(), std::memory_order_relaxed);
  if (has_base_ && !is_out_ && now > observed_) {
    const double time = seconds_of(now - observed_);
    const double kept = std::exp(-time / kRemembered);
    good_calls_ = good_calls_ * kept + static_cast<double>(good - good_);
    seconds_ = seconds_ * kept + time;
  }
  has_base_ = !is_out_ && !active();
  observed_ = now;
  good_ = good;
}

void Recovery::outage() noexcept {
  const std::lock_guard lock(mutex_);
  is_out_ = true;
  has_base_ = false;
  active_.store(false, std::memory_order_relaxed);
}

void Recovery::begin(Instant now) noexcept {
  const std::lock_guard lock(mutex_);
  if (!is_out_) return;
  is_out_ = false;
  begun_ = refilled_ = refused_ = promised_ = now;
  tokens_ = 1;
  active_.store(options_.enabled, std::memory_order_relaxed);
}

Duration Recovery::take_one(Instant now) noexcept {
  const std::lock_guard lock(mutex_);
  if (!active()) return Duration(0);
  if (now - refused_ >= options_.calm) {
    active_.store(false, std::memory_order_relaxed);
    return Duration(0);
  }
  const double rate = rate_at(now);
  if (now > refilled_) {  // threads' times may differ a little
    tokens_ = std::min(std::max(1.0, rate * kBurst), tokens_ + rate * seconds_of(now - refilled_));
    refilled_ = now;
  }
  if (tokens_ >= 1) {
    tokens_ -= 1;
    return Duration(0);
  }
  refused_ = now;
  // As if those who are refused stood in line; past the longest wait they are spread over its second half.
  promised_ = std::max(promised_, now) + Duration(std::max<std::int64_t>(1, std::llround(1e9 / rate)));
  if (promised_ - now > kLongestWait) promised_ = now + kLongestWait / 2;
  return promised_ - now;
}

double Recovery::usual() const noexcept {
  const std::lock_guard lock(mutex_);
  return seconds_ > 0 ? good_calls_ / seconds_ : 0;
}

double Recovery::rate(Instant now) const noexcept {
  const std::lock_guard lock(mutex_);
  return rate_at(now);
}

double Recovery::rate_at(Instant now) const noexcept {
  const double usual = seconds_ > 0 ? good_calls_ / seconds_ : 0;
  const double doublings = seconds_of(now - begun_) / seconds_of(options_.doubled_every);
  return std::min(
      1e9, std::max(options_.at_least, options_.times * usual) * std::exp2(std::clamp(doublings, 0.0, 64.0)));
}

}  // namespace holdfast::resilience
