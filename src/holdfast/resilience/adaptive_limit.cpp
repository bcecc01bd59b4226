#include "holdfast/resilience/adaptive_limit.hpp"

#include <algorithm>
#include <cmath>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {
namespace {

constexpr double kMemory = 0.85;          // of the regression: what a window keeps of the ones before
constexpr double kLeastVariance = 0.002;  // of ln running, about ±4.5 %: less tells nothing
constexpr double kSaturated = 0.75;       // elasticity from which on more at work is hardly worth it
constexpr double kPays = 0.5;             // elasticity up to which more at work is worth it
constexpr double kLatenciesAWindow = 2;   // a window is at least so many latencies long
constexpr double kInUse = 0.7;            // share of the limit that must be used before it is changed
constexpr double kMostShrink = 0.7;       // a window
constexpr double kProbe = 0.95;           // shrink where the cause of a latency is not known
constexpr double kDecay =
    0.975;  // of the baseline a window, while saturated; faster overshoots, slower stays high
constexpr double kLongestSample = 20;  // times the baseline; a longer one counts as that

}  // namespace

AdaptiveLimit::AdaptiveLimit(const AdaptiveLimitOptions& options)
    : options_(options), limit_(options.initial) {
  if (options.min == 0 || options.min > options.initial || options.initial > options.max ||
      !(options.tolerance > 1) || options.window <= Duration(0) || options.window_samples == 0) {
    throw Error(ErrorCode::invalid_argument,
                "An adaptive limit needs 1 <= min <= initial <= max, a tolerance over 1 and a window.");
  }
}

void AdaptiveLimit::record(Instant now, Duration latency, std::uint32_t running) noexcept {
  if (samples_ == 0) window_began_ = now;
  ++samples_;
  double took = std::max(1.0, static_cast<double>(latency.count()));
  if (baseline_ > 0) took = std::min(took, kLongestSample * baseline_);
  latency_sum_ += took;
  running_sum_ += std::max(1U, running);
  if (samples_ < options_.window_samples || now - window_began_ < options_.window) return;
  // What the last change of the limit does shows only after those at work then have ended.
  if (static_cast<double>((now - window_began_).count()) < kLatenciesAWindow * latency_sum_ / samples_)
    return;
  close_window();
}

double AdaptiveLimit::elasticity() const noexcept {
  if (weight_ <= 0) return -1;
  const double variance = xx_ / weight_ - (x_ / weight_) * (x_ / weight_);
  if (variance < kLeastVariance) return -1;
  return std::max(0.0, (xy_ / weight_ - (x_ / weight_) * (y_ / weight_)) / variance);
}

void AdaptiveLimit::close_window() noexcept {
  const double latency = latency_sum_ / samples_;
  const double running = running_sum_ / samples_;
  samples_ = 0;
  latency_sum_ = running_sum_ = 0;
  learn(running, latency);
  adjust(running, latency, elasticity());
}

void AdaptiveLimit::learn(double running, double latency) noexcept {
  const double x = std::log(running);
  const double y = std::log(latency);
  weight_ = weight_ * kMemory + 1;
  x_ = x_ * kMemory + x;
  y_ = y_ * kMemory + y;
  xx_ = xx_ * kMemory + x * x;
  xy_ = xy_ * kMemory + x * y;
}

void AdaptiveLimit::adjust(double running, double latency, double elasticity) noexcept {
  const bool known = elasticity >= 0;
  const bool saturated = elasticity >= kSaturated;
  const bool pays = known && elasticity < kPays;
  if (baseline_ == 0) {
    baseline_ = latency;
  } else if (saturated) {
    // What is seen has a queue in it, so without one it takes less; how much less shows while shrinking.
    baseline_ = std::min(baseline_ * kDecay, latency);
  } else if (latency < baseline_) {
    baseline_ += (latency - baseline_) / 4;
  } else {
    baseline_ += (latency - baseline_) / (pays ? 8 : 64);  // slower for a reason that is not our load
  }
  if (running < kInUse * limit_) return;  // nobody is held back: nothing is learnt about the limit
  const double ratio = latency / baseline_;
  if (ratio > options_.tolerance && saturated) {
    limit_ *= std::max(kMostShrink, options_.tolerance / ratio);
  } else if (ratio > options_.tolerance && !known) {
    limit_ *= kProbe;
  } else if (pays || ratio <= options_.tolerance) {
    limit_ += std::sqrt(limit_) / 2;
  }
  limit_ = std::clamp(limit_, static_cast<double>(options_.min), static_cast<double>(options_.max));
}

}  // namespace holdfast::resilience
