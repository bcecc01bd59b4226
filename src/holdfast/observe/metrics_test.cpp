#include "holdfast/observe/metrics.hpp"

#include <gmock/gmock.h>

#include <thread>

#include "holdfast/base/error.hpp"

namespace holdfast::observe {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Metrics, SpeaksPrometheusTextFormat) {
  Metrics metrics;
  metrics
      .counter("holdfast_http_requests_total", "Requests\nanswered.",
               {{"route", "/a\"b\\"}, {"method", "GET"}})
      .add(3);
  metrics.gauge("holdfast_depth", "Depth.").set(-2);
  const Histogram seconds =
      metrics.histogram("holdfast_seconds", "Time.", {{"op", "x"}}, std::array{0.1, 1.0});
  seconds.observe(0.1);  // a bound belongs to its own bucket
  seconds.observe(500ms);
  seconds.observe(7.0);
  const std::string text = metrics.expose();
  EXPECT_THAT(text, HasSubstr("# HELP holdfast_http_requests_total Requests\\nanswered.\n"
                              "# TYPE holdfast_http_requests_total counter\n"
                              "holdfast_http_requests_total{method=\"GET\",route=\"/a\\\"b\\\\\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE holdfast_depth gauge\nholdfast_depth -2\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE holdfast_seconds histogram\n"
                              "holdfast_seconds_bucket{op=\"x\",le=\"0.1\"} 1\n"
                              "holdfast_seconds_bucket{op=\"x\",le=\"1\"} 2\n"
                              "holdfast_seconds_bucket{op=\"x\",le=\"+Inf\"} 3\n"
                              "holdfast_seconds_sum{op=\"x\"} 7.6\n"
                              "holdfast_seconds_count{op=\"x\"} 3\n"));
}

TEST(Metrics, SpeaksOpenMetrics) {
  Metrics metrics;
  metrics.counter("holdfast_a_total", "A.").add();
  const std::string text = metrics.expose_openmetrics();
  EXPECT_THAT(text, HasSubstr("# TYPE holdfast_a counter\nholdfast_a_total 1\n"));
  EXPECT_THAT(text, ::testing::EndsWith("# EOF\n"));
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameCell) {
  Metrics metrics;
  metrics.counter("a_total", "A.", {{"x", "1"}, {"y", "2"}}).add();
  const Counter again = metrics.counter("a_total", "A.", {{"y", "2"}, {"x", "1"}});
  again.add();
  EXPECT_EQ(again.value(), 2u);
}

TEST(Metrics, RefusesContradictions) {
  Metrics metrics;
  metrics.counter("a_total", "A.", {{"x", "1"}});
  EXPECT_THROW(metrics.gauge("a_total", "A.", {{"x", "1"}}), Error);
  EXPECT_THROW(metrics.counter("a_total", "A.", {{"y", "1"}}), Error);
  EXPECT_THROW(metrics.counter("a-total", "A."), Error);
  EXPECT_THROW(metrics.counter("b_total", "B.", {{"x", "1"}, {"x", "2"}}), Error);
  EXPECT_THROW(metrics.histogram("h", "H.", {}, std::array{1.0, 0.5}), Error);
  metrics.histogram("h", "H.");
  EXPECT_THROW(metrics.histogram("h", "H.", {}, size_buckets()), Error);
}

TEST(Metrics, AFullFamilyCountsUnderOther) {
  Metrics metrics({.max_series_per_family = 2});
  for (int i = 0; i < 5; ++i) metrics.counter("a_total", "A.", {{"user", std::to_string(i)}}).add();
  const std::string text = metrics.expose();
  EXPECT_THAT(text, HasSubstr("a_total{user=\"1\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("user=\"2\"")));
  EXPECT_THAT(text, HasSubstr("a_total{user=\"other\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("holdfast_metrics_series_refused_total 3\n"));
}

TEST(Metrics, ObservesValuesUntilTheObservationEnds) {
  Metrics metrics;
  double depth = 4.5;
  Observation kept;
  {
    Observation observed =
        metrics.observe_gauge("queue_depth", "Depth.", {{"queue", "a"}}, [&] { return depth; });
    EXPECT_THAT(metrics.expose(), HasSubstr("queue_depth{queue=\"a\"} 4.5\n"));
    kept = std::move(observed);
  }
  EXPECT_THROW((void)metrics.observe_gauge("queue_depth", "Depth.", {{"queue", "a"}}, [] { return 0.0; }),
               Error);
  depth = 5;
  EXPECT_THAT(metrics.expose(), HasSubstr("queue_depth{queue=\"a\"} 5\n"));
  kept.stop();
  EXPECT_THAT(metrics.expose(), Not(HasSubstr("queue_depth")));
}

TEST(Metrics, CountsFromManyThreads) {
  Metrics metrics;
  const Counter counter = metrics.counter("a_total", "A.");
  const Histogram histogram = metrics.histogram("h", "H.");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        counter.add();
        histogram.observe(1.0);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 40'000u);
  EXPECT_EQ(histogram.count(), 40'000u);
  EXPECT_DOUBLE_EQ(histogram.sum(), 40'000.0);
}

TEST(Metrics, HandlesOfNobodyCountNothing) {
  Counter().add();
  Gauge().set(1);
  Histogram().observe(1.0);
  EXPECT_EQ(Counter().value(), 0u);
  EXPECT_EQ(Histogram().count(), 0u);
}

double value_of(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

TEST(Metrics, KnowsTheProcess) {
  Metrics metrics;
  const auto process = observe_process(metrics);
  const std::string text = metrics.expose();
  EXPECT_GT(value_of(text, "process_cpu_seconds_total"), 0);
  EXPECT_GT(value_of(text, "process_resident_memory_bytes"), 1e6);
  EXPECT_GT(value_of(text, "process_virtual_memory_bytes"), value_of(text, "process_resident_memory_bytes"));
  EXPECT_GE(value_of(text, "process_open_fds"), 3);
  EXPECT_GE(value_of(text, "process_max_fds"), 64);
  EXPECT_GT(value_of(text, "process_start_time_seconds"), 1.6e9);
  EXPECT_GE(value_of(text, "process_threads"), 1);
}

}  // namespace
}  // namespace holdfast::observe
