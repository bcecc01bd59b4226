// Nanoseconds a decision: taking a token, refusing, telling clients apart, entering and leaving a gate.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "holdfast/base/random.hpp"
#include "holdfast/resilience/admission.hpp"
#include "holdfast/resilience/backoff.hpp"
#include "holdfast/resilience/rate_limiter.hpp"
#include "holdfast/resilience/token_bucket.hpp"

namespace holdfast::resilience {
namespace {

using namespace std::chrono_literals;

void token_granted(benchmark::State& state) {
  static TokenBucket bucket({.requests = 1'000'000'000, .window = 1s, .burst = 1'000'000'000});
  Instant now(1s);
  for (auto _ : state) benchmark::DoNotOptimize(bucket.try_acquire(now += 10ns));
}
BENCHMARK(token_granted)->ThreadRange(1, 2);

void token_refused(benchmark::State& state) {
  TokenBucket bucket({.requests = 1, .window = 1h});
  const Instant now(1s);
  bucket.try_acquire(now);
  for (auto _ : state) benchmark::DoNotOptimize(bucket.try_acquire(now));
}
BENCHMARK(token_refused);

void limiter_one_of_ten_thousand_clients(benchmark::State& state) {
  static SeededRandom random(1);
  static RateLimiter limiter({{.name = "default", .rate = {.requests = 1000, .window = 1s}}}, {}, random);
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) keys.push_back("key_01jz3s4m5e6f7g8h9jakb" + std::to_string(i));
  Instant now(1s);
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(limiter.try_acquire(0, keys[at], now += 100ns));
    at = (at + 7919) % keys.size();
  }
}
BENCHMARK(limiter_one_of_ten_thousand_clients)->ThreadRange(1, 2);

void limiter_refused(benchmark::State& state) {
  SeededRandom random(1);
  RateLimiter limiter({{.name = "default", .rate = {.requests = 1, .window = 1h}}}, {}, random);
  for (auto _ : state) benchmark::DoNotOptimize(limiter.try_acquire(0, "203.0.113.7", Instant(1s)));
}
BENCHMARK(limiter_refused);

void admission_enter_and_leave(benchmark::State& state) {
  Admission admission({});
  const Instant now(1s);
  for (auto _ : state) {
    benchmark::DoNotOptimize(admission.try_enter(now));
    benchmark::DoNotOptimize(admission.leave(now));
  }
}
BENCHMARK(admission_enter_and_leave);

void admission_refused(benchmark::State& state) {
  Admission admission({.max_running = 1, .max_waiting = 0});
  (void)admission.try_enter(Instant(1s));
  for (auto _ : state) benchmark::DoNotOptimize(admission.try_enter(Instant(1s)));
}
BENCHMARK(admission_refused);

void backoff_delay_with_full_jitter(benchmark::State& state) {
  SeededRandom random(1);
  std::uint32_t attempt = 0;
  for (auto _ : state) benchmark::DoNotOptimize(backoff_delay({}, attempt++ & 15, random));
}
BENCHMARK(backoff_delay_with_full_jitter);

}  // namespace
}  // namespace holdfast::resilience
