// What a resilience pipeline costs around a call that returns at once, beside the parts it can't do
// without: nanoseconds a call, the median of those rounds in which nothing else ran in between, and the
// ratio to a reading of the clock.
//
//   bench_resilience_pipeline [calls=20000] [rounds=200]
//
// Also counts allocations, and checks afterwards that the pipeline's counters add up; exits 1 where they
// don't, or where a call allocated.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/pipeline.hpp"

namespace {
std::atomic<std::uint64_t> allocations{0};
}

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace holdfast;
using namespace holdfast::resilience;
using namespace std::chrono_literals;

constexpr double kClean = 0.9;  // of a round's time that its threads must have run, and run together

double seconds_of(clockid_t id) {
  timespec t{};
  ::clock_gettime(id, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

/// What a call returns; opaque, so that nothing of it is worked out beforehand.
__attribute__((noinline)) int at_once(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

PipelineOptions everything() {
  PipelineOptions options;  // the defaults, and a limit that lets all of this pass
  options.limit = {.enabled = true, .requests = 1'000'000'000, .window = 1s, .burst = 1'000'000'000};
  return options;
}

/// Nanoseconds a call of `body(calls)` on `threads` threads that start together; none where something else
/// ran in between, so that they did not run side by side all of the time.
template <class Body>
std::optional<double> measure(int threads, std::uint64_t calls, Body&& body) {
  struct Span {
    double began = 0, ended = 0, busy = 0;
  };
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<Span> spans(static_cast<std::size_t>(threads));
  const auto work = [&](std::size_t index) {
    ready.fetch_add(1);
    if (index != 0) {
      while (!go.load(std::memory_order_acquire)) {
      }
    }
    Span& span = spans[index];
    const double busy = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    span.began = seconds_of(CLOCK_MONOTONIC);
    body(calls);
    span.ended = seconds_of(CLOCK_MONOTONIC);
    span.busy = seconds_of(CLOCK_THREAD_CPUTIME_ID) - busy;
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work, static_cast<std::size_t>(i));
  while (ready.load() != threads - 1) std::this_thread::yield();
  go.store(true, std::memory_order_release);
  work(0);
  for (std::thread& other : others) other.join();
  double first = spans[0].began, last = spans[0].ended;
  double all_began = first, one_ended = last;
  bool alone = true;
  for (const Span& span : spans) {
    first = std::min(first, span.began);
    last = std::max(last, span.ended);
    all_began = std::max(all_began, span.began);
    one_ended = std::min(one_ended, span.ended);
    alone = alone && span.busy > kClean * (span.ended - span.began);
  }
  if (!alone || one_ended - all_began < kClean * (last - first)) return std::nullopt;
  return (last - first) * 1e9 / static_cast<double>(calls);
}

struct Row {
  const char* what;
  double target = 0;  // 0: none
  std::vector<double> rounds{};

  double median() {
    if (rounds.empty()) return std::numeric_limits<double>::quiet_NaN();
    std::sort(rounds.begin(), rounds.end());
    return rounds[rounds.size() / 2];
  }
};

enum Measured { kEmpty, kClock, kCoarse, kOne, kTwo, kRefused, kRefusedCall, kThrown, kRows };

struct Sums {
  std::uint64_t wanted = 0;
  std::uint64_t got = 0;
};

bool adds_up(const Pipeline& pipeline, const Sums& sums) {
  const PipelineView view = pipeline.view();
  const bool fine = view.counters.calls == sums.wanted && view.counters.succeeded == sums.got &&
                    view.counters.attempts == sums.got && view.in_flight == 0 && view.queued == 0;
  if (!fine) {
    std::printf("counters of %s do not add up: %llu calls of %llu, %llu succeeded of %llu, %u in flight\n",
                pipeline.name().c_str(), static_cast<unsigned long long>(view.counters.calls),
                static_cast<unsigned long long>(sums.wanted),
                static_cast<unsigned long long>(view.counters.succeeded),
                static_cast<unsigned long long>(sums.got), view.in_flight);
  }
  return fine;
}

}  // namespace

int main(int argc, char** argv) {
  const auto calls = static_cast<std::uint64_t>(argc > 1 ? std::atoll(argv[1]) : 20'000);
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 200;
  SystemClock system_clock;
  const Clock& clock = system_clock;
  SystemRandom random;
  observe::Metrics metrics;
  const PipelineParts parts{clock, random, metrics};
  Pipeline healthy("healthy", everything(), parts);
  Pipeline open("open", everything(), parts);
  open.open("to measure refusals");
  CircuitBreaker breaker({.minimum_calls = 1, .open_for = 1h, .open_at_most = 1h}, random, clock.now());
  breaker.try_enter(clock.now()).failure(clock.now());
  const Context ctx = Context(clock).with_timeout(24h);

  Row rows[kRows] = {{.what = "an empty call"},
                     {.what = "reading the clock"},
                     {.what = "reading the coarse clock"},
                     {.what = "the pipeline, 1 thread", .target = 100},
                     {.what = "the pipeline, shared by 2 threads", .target = 150},
                     {.what = "refusal by an open breaker", .target = 10},
                     {.what = "refusal through the pipeline, by value"},
                     {.what = "refusal through the pipeline, thrown"}};
  Sums passed;
  Sums refused;
  std::uint64_t allocated = 0;
  std::atomic<int> wrong{0};
  const auto through = [&](std::uint64_t n) {
    int bad = 0;
    for (std::uint64_t i = 0; i < n; ++i) {
      const auto outcome = healthy.try_call(ctx, [i](Attempt&) { return at_once(static_cast<int>(i)); });
      bad += !outcome || *outcome != static_cast<int>(i);
    }
    if (bad != 0) wrong += bad;
  };
  const auto note = [&](Measured row, std::optional<double> nanoseconds) {
    if (nanoseconds) rows[row].rounds.push_back(*nanoseconds);
  };
  for (int round = 0; round < rounds; ++round) {  // by turns, so that all meet the machine's moods
    note(kEmpty, measure(1, calls, [](std::uint64_t n) {
           for (std::uint64_t i = 0; i < n; ++i) at_once(static_cast<int>(i));
         }));
    note(kClock, measure(1, calls, [&](std::uint64_t n) {
           for (std::uint64_t i = 0; i < n; ++i)
             at_once(static_cast<int>(clock.now().time_since_epoch().count()));
         }));
    note(kCoarse, measure(1, calls, [&](std::uint64_t n) {
           for (std::uint64_t i = 0; i < n; ++i)
             at_once(static_cast<int>(clock.coarse_now().time_since_epoch().count()));
         }));
    std::uint64_t around = 0;
    note(kOne, measure(1, calls, [&](std::uint64_t n) {
           const std::uint64_t start = allocations.load();
           through(n);
           around += allocations.load() - start;
         }));
    allocated += around;
    note(kTwo, measure(2, calls, through));
    passed.wanted += 3 * calls;
    passed.got += 3 * calls;
    note(kRefused, measure(1, calls, [&](std::uint64_t n) {
           const Instant now = clock.now();
           for (std::uint64_t i = 0; i < n; ++i) {
             const auto permit = breaker.try_enter(now);
             wrong += at_once(permit ? 1 : 0);
           }
         }));
    note(kRefusedCall, measure(1, calls, [&](std::uint64_t n) {
           const std::uint64_t start = allocations.load();
           for (std::uint64_t i = 0; i < n; ++i) {
             const auto outcome = open.try_call(ctx, [](Attempt&) { return at_once(1); });
             wrong += at_once(outcome ? 1 : 0);
           }
           allocated += allocations.load() - start;
         }));
    const std::uint64_t thrown = std::max<std::uint64_t>(1, calls / 20);
    note(kThrown, measure(1, thrown, [&](std::uint64_t n) {
           for (std::uint64_t i = 0; i < n; ++i) {
             try {
               open.call(ctx, [](Attempt&) { return at_once(1); });
               ++wrong;
             } catch (const Error&) {
             }
           }
         }));
    refused.wanted += calls + thrown;
  }
  std::printf("%-42s %9s %9s %9s %9s\n", "", "ns/call", "clocks", "rounds", "target");
  for (Row& row : rows) {
    std::printf("%-42s %9.1f %9.2f %9zu", row.what, row.median(), row.median() / rows[kClock].median(),
                row.rounds.size());
    if (row.target != 0) std::printf(" %9.0f %s", row.target, row.median() <= row.target ? "met" : "MISSED");
    std::printf("\n");
  }
  std::printf("allocations in %llu calls: %llu; wrong answers: %d\n",
              static_cast<unsigned long long>(static_cast<std::uint64_t>(rounds) * 2 * calls),
              static_cast<unsigned long long>(allocated), wrong.load());
  const bool fine = adds_up(healthy, passed) && adds_up(open, refused) && allocated == 0 && wrong.load() == 0;
  std::printf("%s\n", fine ? "counters add up" : "FAILED");
  return fine ? 0 : 1;
}
