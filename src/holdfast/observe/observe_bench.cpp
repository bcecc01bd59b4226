// Nanoseconds a log line and a count.
#include <benchmark/benchmark.h>

#include "holdfast/base/random.hpp"
#include "holdfast/observe/log.hpp"
#include "holdfast/observe/metrics.hpp"

namespace holdfast::observe {
namespace {

struct Work {
  TraceContext the_trace;
  std::string id = "0192f0c1-7b7e-7d7a-8e1e-2f0c17b7e7d7";
  const TraceContext& trace() const { return the_trace; }
  const std::string& request_id() const { return id; }
};

void log_line(benchmark::State& state, LogLevel level) {
  static SystemClock clock;
  static Log log(
      {.format = LogFormat::json, .write = [](std::string_view lines) { benchmark::DoNotOptimize(lines); }},
      clock);
  SeededRandom random(1);
  const Work work{.the_trace = TraceContext::start(random)};
  const Logger logger = log.logger("orders");
  const std::string id = "ord_01jz3s4m5e6f7g8h9jakbmcndp";
  std::int64_t total = 0;
  for (auto _ : state) {
    if (level == LogLevel::debug) {
      logger.debug(work, "order placed",
                   {{"orderId", id}, {"totalMinor", ++total}, {"took", std::chrono::microseconds(1500)}});
    } else {
      logger.info(work, "order placed",
                  {{"orderId", id}, {"totalMinor", ++total}, {"took", std::chrono::microseconds(1500)}});
    }
  }
}
BENCHMARK_CAPTURE(log_line, enabled, LogLevel::info)->ThreadRange(1, 2);
BENCHMARK_CAPTURE(log_line, disabled, LogLevel::debug);

void count(benchmark::State& state) {
  static Metrics metrics;
  const Counter counter = metrics.counter("a_total", "A.");
  for (auto _ : state) counter.add();
}
BENCHMARK(count)->ThreadRange(1, 2);

void observe(benchmark::State& state) {
  static Metrics metrics;
  const Histogram histogram = metrics.histogram("h_seconds", "H.");
  double value = 0.0001;
  for (auto _ : state) histogram.observe(value = value > 5 ? 0.0001 : value * 1.3);
}
BENCHMARK(observe)->ThreadRange(1, 2);

}  // namespace
}  // namespace holdfast::observe
