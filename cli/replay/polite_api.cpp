#include "cli/replay/polite_api.hpp"

#include <algorithm>
#include <exception>

#include "holdfast/base/error.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::cli {

bool worth_retrying(const ApiAnswer& answer) noexcept {
  if (answer.status == 409) return answer.retry_after.has_value();
  return answer.status == 408 || answer.status == 425 || answer.status == 429 || answer.status >= 500;
}

std::optional<Duration> RetrySchedule::next(Instant now, std::optional<Duration> retry_after,
                                            Random& random) noexcept {
  Duration wait = backoff_.next(random);
  if (retry_after) wait = std::max(wait, std::min(*retry_after, policy_.longest_retry_after));
  if (now + wait > give_up_at_) return std::nullopt;
  return wait;
}

PoliteApi::PoliteApi(Api& inner, Random& random, RetryPolicy policy, std::function<bool()> stopping)
    : inner_(inner), random_(random), policy_(policy), stopping_(std::move(stopping)) {}

ApiAnswer PoliteApi::call(const Context& ctx, const ApiRequest& request) {
  RetrySchedule schedule(policy_, ctx.now());
  throw_if_stopping();
  while (true) {
    std::optional<ApiAnswer> answer;
    std::exception_ptr failure;
    try {
      answer = inner_.call(ctx.with_timeout(policy_.attempt_timeout), request);
      if (!worth_retrying(*answer)) return *answer;
    } catch (const Error& error) {
      const bool no_answer =
          error.code() == ErrorCode::unavailable || error.code() == ErrorCode::deadline_exceeded;
      if (!no_answer || ctx.cancelled()) throw;
      failure = std::current_exception();
    }
    const auto pause = schedule.next(ctx.now(), answer ? answer->retry_after : std::nullopt, random_);
    if (!pause) {
      if (failure) std::rethrow_exception(failure);
      return *answer;
    }
    wait(ctx, *pause);
    ++retries_;
  }
}

void PoliteApi::throw_if_stopping() const {
  if (stopping_ && stopping_()) throw Error(ErrorCode::cancelled, "Stopped before the request was sent.");
}

void PoliteApi::wait(const Context& ctx, Duration duration) {
  constexpr Duration kLook = std::chrono::milliseconds(100);
  while (duration > Duration(0)) {
    throw_if_stopping();
    const Duration slice = std::min(duration, kLook);
    runtime::sleep_for(ctx, slice);
    duration -= slice;
  }
}

}  // namespace holdfast::cli
