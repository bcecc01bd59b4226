// A pipeline: all that stands between this process and one dependency, in one place, outermost first:
// total timeout > retry with budget > circuit breaker > slow start after an outage > bulkhead > rate limiter
// > timeout of a try.
//
//   Pipeline payments("payments", settings, {clock, random, metrics, logger});
//   auto rate = payments.call(ctx, [&](const Context& ctx) { return client.get(ctx, url); },
//                             {.idempotent = true});            // throws Error
//   auto outcome = payments.try_call(ctx, [&](Attempt& a) { … });  // refusals by value; see outcome.hpp
//
// A call that returns at once costs one reading of the clock and one of the coarse clock, and allocates
// nothing, unless it asks the Attempt for its Context. Thread-safety: any thread; where nothing may wait
// (off a fiber, in a transaction) there is no line and no retry. Outlives its calls.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/bulkhead.hpp"
#include "holdfast/resilience/circuit_breaker.hpp"
#include "holdfast/resilience/outcome.hpp"
#include "holdfast/resilience/per_thread.hpp"
#include "holdfast/resilience/pipeline_options.hpp"
#include "holdfast/resilience/recovery.hpp"
#include "holdfast/resilience/retry.hpp"
#include "holdfast/resilience/token_bucket.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::resilience {

/// What a failed try says of the dependency.
enum class Verdict : std::uint8_t {
  failure,  ///< it is not well
  success,  ///< it answered, and said no
  neither,  ///< nothing: the caller has gone
};

/// unavailable, deadline_exceeded and internal are failures; cancelled is neither; all else is an answer.
Verdict verdict_of(const Error& error) noexcept;

struct CallOptions {
  /// Whether it may be made twice: it only reads, or carries an idempotency key.
  bool idempotent = false;
};

/// One try. Takes the place of a Context where one is wanted.
class Attempt {
 public:
  Attempt(const Context& ctx, Instant deadline, std::uint32_t number) noexcept
      : outer_(ctx), deadline_(deadline), number_(number) {}
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  /// The caller's, ending at deadline(). Made when first asked for, which allocates where deadline() is the
  /// nearer one. Lives as long as the attempt.
  const Context& context() {
    if (deadline_ >= outer_.deadline()) return outer_;
    if (!own_) own_.emplace(outer_.with_deadline(deadline_));
    return *own_;
  }
  operator const Context&() { return context(); }

  /// The end of the caller's time, the call's, or this try's, whichever is first.
  Instant deadline() const noexcept { return deadline_; }
  /// 1 for the first.
  std::uint32_t number() const noexcept { return number_; }

 private:
  const Context& outer_;
  const Instant deadline_;
  const std::uint32_t number_;
  std::optional<Context> own_;
};

/// A pipeline's numbers since it was made. calls = succeeded + answered + failed + cancelled + refused, once
/// all of them have ended.
struct PipelineCounters {
  std::uint64_t calls = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t answered = 0;  ///< with an Error that says nothing against the dependency
  std::uint64_t failed = 0;
  std::uint64_t cancelled = 0;  ///< the caller had gone, or its time was over, before a try ended
  std::uint64_t refused = 0;    ///< before anything was sent
  std::uint64_t attempts = 0;   ///< tries that were made
  std::uint64_t retries = 0;
  std::uint64_t budget_exhausted = 0;
};

struct PipelineView {
  BreakerView breaker;
  PipelineCounters counters;
  std::array<std::uint64_t, 7> refusals{};  ///< by RefusedBy, those after a try included
  std::uint32_t in_flight = 0;
  std::uint32_t queued = 0;
  double retry_budget = 0;  ///< retries that could be made now
  double usual_rate = 0;    ///< good calls a second of late, when it was well
  /// Tries a second that are let through after an outage; none where it is not recovering from one.
  std::optional<double> recovery_rate{};
};

/// What a pipeline is made of; borrowed, but for the logger.
struct PipelineParts {
  const Clock& clock;
  Random& random;
  observe::Metrics& metrics;
  observe::Logger logger{};
};

/// Instead of the usual judgements.
struct PipelineJudgements {
  std::function<Verdict(const Error&)> verdict = verdict_of;
  std::function<bool(const Error&)> retryable = is_retryable;
};

class Pipeline {
 public:
  /// `name` labels metrics and log lines. Throws Error(invalid_argument) for options that break their rules.
  Pipeline(std::string name, const PipelineOptions& options, const PipelineParts& parts,
           PipelineJudgements judgements = {});
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Calls `fn(const Context&)` or `fn(Attempt&)`, possibly several times, and returns what it returns. What
  /// it throws that is no Error counts as a failure, is not retried, and passes through.
  template <class Fn>
  auto try_call(const Context& ctx, Fn&& fn, CallOptions options = {})
      -> Outcome<std::invoke_result_t<Fn&, Attempt&>>;

  /// The same, throwing: Error(unavailable) with reason breaker_open, bulkhead_full, … and retry_after where
  /// it was refused; the last try's Error where that failed.
  template <class Fn>
  auto call(const Context& ctx, Fn&& fn, CallOptions options = {}) {
    return try_call(ctx, std::forward<Fn>(fn), options).value();
  }

  /// By hand, until reset(). `why` goes to the log.
  void open(std::string_view why);
  void close(std::string_view why);
  void reset(std::string_view why);

  const std::string& name() const noexcept { return name_; }
  const PipelineOptions& options() const noexcept { return options_; }
  PipelineView view() const;

 private:
  enum Count : std::size_t {
    kSucceeded,
    kAnswered,
    kFailed,
    kCancelled,
    kRefusedCalls,
    kAttempts,
    kRetries,
    kBudgetExhausted,
    kFirstRefusal,
    kCounts = kFirstRefusal + 7
  };
  struct Cells {
    std::array<std::atomic<std::uint64_t>, kCounts> counts{};
  };

  /// One call's course, and of its present try what it holds.
  struct Course {
    const Context& ctx;
    const CallOptions options;
    Instant now{};       ///< when the try began
    Instant deadline{};  ///< of the call
    std::uint32_t tries = 0;
    std::optional<CircuitBreaker::Permit> permit{};
    std::optional<Bulkhead::Place> place{};
    std::optional<Retry> retry{};
    std::optional<Refusal> refusal{};
    std::optional<Error> error{};
  };

  void count(Count what) noexcept {
    const auto mine = cells_.mine();
    mine.add(mine.cells.counts[what]);
  }
  std::uint64_t counted(std::size_t what) const noexcept;

  /// False where an open breaker refuses it, for which the coarse clock is good enough.
  bool begin(Course& course) noexcept;
  /// Whether a try may be made; if not, course.refusal or course.error says why.
  bool enter(Course& course);
  bool wait_in_line(Course& course);
  bool ended(Course& course);
  bool refuse(Course& course, RefusedBy by, Duration retry_after) noexcept;
  Instant attempt_deadline(const Course& course) const noexcept;
  void succeeded(Course& course) noexcept;
  void failed(Course& course, const Error& error) noexcept;
  void broke(Course& course) noexcept;
  /// Waits before the next try; false where there is none.
  bool again(Course& course);
  /// Counts how it ended.
  void give_up(Course& course) noexcept;
  void tell(const BreakerTransition& transition);
  void add_metrics(observe::Metrics& metrics);

  const std::string name_;
  const PipelineOptions options_;
  const Clock& clock_;
  Random& random_;
  const observe::Logger logger_;
  const PipelineJudgements judgements_;
  const Duration total_;
  const Duration attempt_;

  CircuitBreaker breaker_;
  RetryBudget budget_;
  PerThread<Cells> cells_;
  std::optional<TokenRate> limit_;
  // What every call writes, whichever thread it is on, shares a line: a second thread fetches it once.
  alignas(kCacheLine) TokenRate::State limit_state_{TokenRate::kFull};
  Bulkhead bulkhead_;
  Recovery recovery_;
  std::vector<observe::Observation> observations_;
};

template <class Fn>
auto Pipeline::try_call(const Context& ctx, Fn&& fn, CallOptions options)
    -> Outcome<std::invoke_result_t<Fn&, Attempt&>> {
  using T = std::invoke_result_t<Fn&, Attempt&>;
  Course course{.ctx = ctx, .options = options};
  if (!begin(course)) [[unlikely]]
    return Outcome<T>(*course.refusal, name_);
  do {
    if (!enter(course)) [[unlikely]]
      break;
    Attempt attempt(ctx, attempt_deadline(course), course.tries);
    try {
      if constexpr (std::is_void_v<T>) {
        std::invoke(fn, attempt);
        succeeded(course);
        return Outcome<T>(std::in_place);
      } else {
        Outcome<T> outcome(std::in_place, std::invoke(fn, attempt));
        succeeded(course);
        return outcome;
      }
    } catch (const Error& error) {
      failed(course, error);
    } catch (...) {
      broke(course);
      throw;
    }
  } while (again(course));  // outside of the catch: it may wait
  give_up(course);
  // A refusal after a try says nothing of what that may have done; its own error does.
  if (course.error) return Outcome<T>(std::move(*course.error), course.tries > 0);
  return Outcome<T>(*course.refusal, name_);
}

}  // namespace holdfast::resilience
