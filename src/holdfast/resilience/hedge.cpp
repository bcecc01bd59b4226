#include "holdfast/resilience/hedge.hpp"

#include <algorithm>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {
namespace {

constexpr std::size_t kLookEvery = 16;  // latencies between two looks at the percentile

}  // namespace

HedgePolicy::HedgePolicy(const HedgeOptions& options) : options_(options), saved_(options.most_saved) {
  if (!(options.percentile > 0 && options.percentile < 1) || !(options.budget > 0 && options.budget <= 1) ||
      !(options.most_saved >= 1) || options.least_delay < Duration(0) ||
      options.delay.value_or(Duration(0)) < Duration(0)) {
    throw Error(
        ErrorCode::invalid_argument,
        "A hedge needs a percentile within 0 and 1, a budget over 0 and up to 1, and one hedge saved.");
  }
  delay_ = options.delay;
}

std::optional<Duration> HedgePolicy::begin() noexcept {
  saved_ = std::min(saved_ + options_.budget, options_.most_saved);
  return delay_;
}

bool HedgePolicy::try_hedge() noexcept {
  if (saved_ < 1) return false;
  saved_ -= 1;
  return true;
}

void HedgePolicy::record(Duration latency) noexcept {
  seen_[count_++ % kRemembered] = latency;
  if (options_.delay || count_ < kLeastSeen || count_ % kLookEvery != 0) return;
  std::array<Duration, kRemembered> sorted = seen_;
  const std::size_t size = std::min(count_, kRemembered);
  const auto nth = static_cast<std::ptrdiff_t>(options_.percentile * static_cast<double>(size));
  std::nth_element(sorted.begin(), sorted.begin() + nth, sorted.begin() + static_cast<std::ptrdiff_t>(size));
  delay_ = std::max(options_.least_delay, sorted[static_cast<std::size_t>(nth)]);
}

Hedge::Hedge(const std::string& name, const HedgeOptions& options, observe::Metrics& metrics)
    : policy_(options) {
  const auto counter = [&](const char* what) {
    return metrics.counter("holdfast_hedge_total",
                           "Calls that could be hedged: all, tried a second time, answered by the second try "
                           "first, or not hedged because the budget was used up.",
                           {{"hedge", name}, {"what", what}});
  };
  calls_ = counter("call");
  hedged_ = counter("hedged");
  won_ = counter("won");
  refused_ = counter("over_budget");
}

std::size_t Hedge::run(const Context& ctx, const Attempt& attempt) {
  const Instant began = ctx.now();
  std::optional<Duration> delay;
  {
    const std::lock_guard lock(mutex_);
    delay = policy_.begin();
  }
  calls_.add();
  // Touched by this fiber and its children only, which share a loop.
  runtime::Signal changed;
  std::optional<std::size_t> winner;
  std::array<std::exception_ptr, 2> failures;
  std::size_t begun = 0;
  std::size_t ended = 0;
  runtime::FiberGroup group(ctx);
  const auto start = [&] {
    group.spawn("hedged call", [&, which = begun](const Context& own) {
      try {
        attempt(own, which);
        if (!winner) winner = which;
      } catch (...) {
        failures[which] = std::current_exception();
      }
      ++ended;
      changed.notify();
    });
    ++begun;
  };
  const auto settled = [&] { return winner || ended == begun; };
  const auto wait = [&](const Context& until) {
    for (std::uint64_t seen = changed.version(); !settled(); seen = changed.version()) {
      if (changed.wait_past(until, seen, "hedged call") != runtime::Woken::by_event) return;
    }
  };
  start();
  if (delay) {
    wait(ctx.with_timeout(*delay));
    if (!settled() && !ctx.cancelled() && ctx.remaining() > Duration(0)) {
      std::unique_lock lock(mutex_);
      const bool granted = policy_.try_hedge();
      lock.unlock();
      try {
        if (granted) start();
        (granted ? hedged_ : refused_).add();
      } catch (const Error&) {  // no stack left for a second try: the first goes on
        refused_.add();
      }
    }
  }
  wait(ctx);
  if (winner || ended == begun) {
    const std::lock_guard lock(mutex_);
    policy_.record(ctx.now() - began);
  }
  group.cancel();
  group.wait();  // the loser's end, and both ends where the caller's time is over
  if (winner) {
    if (*winner == 1) won_.add();
    return *winner;
  }
  std::rethrow_exception(failures[0]);
}

}  // namespace holdfast::resilience
