#include "holdfast/resilience/retry_budget.hpp"

#include <algorithm>
#include <cmath>

#include "holdfast/base/error.hpp"

namespace holdfast::resilience {

namespace {

constexpr double kNanosecondsPerSecond = 1e9;

const RetryBudgetOptions& checked(const RetryBudgetOptions& options) {
  if (options.reserve == 0 || options.reserve > 1'000'000 || !(options.share >= 0 && options.share <= 10) ||
      !(options.per_second >= 0 && options.per_second <= 100'000)) {
    throw Error(ErrorCode::invalid_argument,
                "A retry budget needs a reserve, and a share and a rate that are not negative.");
  }
  return options;
}

}  // namespace

RetryBudget::RetryBudget(const RetryBudgetOptions& options, Instant now)
    : capacity_(std::uint64_t{checked(options).reserve} * kToken),
      share_(static_cast<std::uint64_t>(std::floor(options.share * kToken))),
      interval_(options.per_second == 0 ? 0
                                        : static_cast<std::int64_t>(std::ceil(
                                              kNanosecondsPerSecond / (options.per_second * kToken)))),
      word_(capacity_ << kHeldBits),
      refilled_(now.time_since_epoch().count()) {}

void RetryBudget::deposit(std::uint64_t amount) noexcept {
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  std::uint64_t next = 0;
  do {
    const std::uint64_t taken = held(word) * kToken;
    const std::uint64_t room = capacity_ > taken ? capacity_ - taken : 0;
    if (stored(word) >= room) return;
    next = (std::min(stored(word) + amount, room) << kHeldBits) | held(word);
  } while (!word_.compare_exchange_weak(word, next, std::memory_order_relaxed));
}

void RetryBudget::refill(Instant now) noexcept {
  if (interval_ == 0) return;
  std::int64_t since = refilled_.load(std::memory_order_relaxed);
  const std::int64_t thousandths = (now.time_since_epoch().count() - since) / interval_;
  // Whoever moves the mark deposits; the rest of an interval stays for the next.
  if (thousandths > 0 &&
      refilled_.compare_exchange_strong(since, since + thousandths * interval_, std::memory_order_relaxed)) {
    deposit(static_cast<std::uint64_t>(thousandths));
  }
}

RetryBudget::Hold RetryBudget::try_take(Instant now) noexcept {
  refill(now);
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  do {
    if (stored(word) < kToken) return Hold();
  } while (!word_.compare_exchange_weak(word, word - (kToken << kHeldBits) + 1, std::memory_order_relaxed));
  return Hold(this);
}

void RetryBudget::end_hold(std::uint64_t refund) noexcept {
  word_.fetch_add((refund << kHeldBits) - 1, std::memory_order_relaxed);
}

}  // namespace holdfast::resilience
