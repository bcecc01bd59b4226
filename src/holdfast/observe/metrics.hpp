// Metrics in Prometheus' words: counters, gauges, histograms, each with labels. Make the handle once
// (that takes a lock), keep it, and count with it (that takes a few nanoseconds and no lock).
//
//   Metrics metrics;
//   const Counter replays = metrics.counter("holdfast_idempotency_replays_total", "Stored answers given.");
//   const Histogram seconds = metrics.histogram("holdfast_http_request_seconds", "…", {{"route",
//   "/v1/orders"}}); replays.add();  seconds.observe(elapsed);
//
// Names: holdfast_<room>_<thing>[_<unit>][_total]; base units (_seconds, _bytes).
// Thread-safety: everything from any thread. A Metrics outlives its handles.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"

namespace holdfast::observe {

/// Names and values, e.g. {{"route", "/v1/orders"}, {"method", "POST"}}. Order does not matter.
using Labels = std::vector<std::pair<std::string, std::string>>;

/// Only grows. A default-constructed one counts nothing.
class Counter {
 public:
  Counter() = default;
  void add(std::uint64_t amount = 1) const noexcept {
    if (cell_ != nullptr) cell_->fetch_add(amount, std::memory_order_relaxed);
  }
  std::uint64_t value() const noexcept {
    return cell_ == nullptr ? 0 : cell_->load(std::memory_order_relaxed);
  }

 private:
  friend class Metrics;
  explicit Counter(std::atomic<std::uint64_t>* cell) : cell_(cell) {}
  std::atomic<std::uint64_t>* cell_ = nullptr;
};

/// Goes up and down. Whole numbers; for others use observe_gauge().
class Gauge {
 public:
  Gauge() = default;
  void set(std::int64_t value) const noexcept {
    if (cell_ != nullptr) cell_->store(value, std::memory_order_relaxed);
  }
  void add(std::int64_t amount = 1) const noexcept {
    if (cell_ != nullptr) cell_->fetch_add(amount, std::memory_order_relaxed);
  }
  void subtract(std::int64_t amount = 1) const noexcept { add(-amount); }
  std::int64_t value() const noexcept {
    return cell_ == nullptr ? 0 : cell_->load(std::memory_order_relaxed);
  }

 private:
  friend class Metrics;
  explicit Gauge(std::atomic<std::int64_t>* cell) : cell_(cell) {}
  std::atomic<std::int64_t>* cell_ = nullptr;
};

/// What a histogram counts in; made and owned by Metrics.
struct HistogramCells {
  std::vector<double> bounds;                             // ascending upper bounds, without +Inf
  std::unique_ptr<std::atomic<std::uint64_t>[]> buckets;  // bounds.size() + 1, the last is +Inf
  std::atomic<double> sum{0};
};

/// Counts values by size.
class Histogram {
 public:
  Histogram() = default;
  void observe(double value) const noexcept;
  /// In seconds.
  void observe(Duration value) const noexcept { observe(std::chrono::duration<double>(value).count()); }
  std::uint64_t count() const noexcept;
  double sum() const noexcept;

 private:
  friend class Metrics;
  explicit Histogram(HistogramCells* cells) : cells_(cells) {}
  HistogramCells* cells_ = nullptr;
};

/// 0.5 ms … 10 s, for anything a caller waits for.
std::span<const double> latency_buckets() noexcept;
/// 10 us … 1 s, for what happens inside the process: transactions, queues, loop turns.
std::span<const double> fast_latency_buckets() noexcept;
/// 256 B … 16 MiB.
std::span<const double> size_buckets() noexcept;

/// A value read when somebody asks for the metrics. Gone when destroyed (after which its callback is
/// not running any more); must not outlive the Metrics.
class Observation {
 public:
  Observation() = default;
  ~Observation() { stop(); }
  Observation(Observation&& other) noexcept
      : metrics_(std::exchange(other.metrics_, nullptr)), id_(other.id_) {}
  Observation& operator=(Observation&& other) noexcept;
  void stop() noexcept;

 private:
  friend class Metrics;
  Observation(class Metrics* metrics, std::uint64_t id) : metrics_(metrics), id_(id) {}
  class Metrics* metrics_ = nullptr;
  std::uint64_t id_ = 0;
};

class Metrics {
 public:
  struct Options {
    /// Label sets a family may have. What comes later is counted under the value "other" of every
    /// label, and in holdfast_metrics_series_refused_total.
    std::size_t max_series_per_family = 1000;
  };

  Metrics();
  explicit Metrics(Options options);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// The same name and labels give the same cell again. Throws Error(internal) where the name is not a
  /// metric's name, or is taken by another type or other label names.
  Counter counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge gauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram histogram(std::string_view name, std::string_view help, Labels labels = {},
                      std::span<const double> bounds = latency_buckets());

  /// `read` is called at each scrape, on the scraper's thread, with the registry locked: it must be
  /// quick, must not throw and must not call this registry.
  [[nodiscard]] Observation observe_gauge(std::string_view name, std::string_view help, Labels labels,
                                          std::function<double()> read);
  [[nodiscard]] Observation observe_counter(std::string_view name, std::string_view help, Labels labels,
                                            std::function<double()> read);

  /// Prometheus' text format 0.0.4: "text/plain; version=0.0.4; charset=utf-8".
  std::string expose() const;
  /// OpenMetrics 1.0: "application/openmetrics-text; version=1.0.0; charset=utf-8".
  std::string expose_openmetrics() const;

 private:
  friend class Observation;
  struct State;
  std::unique_ptr<State> state_;
};

/// process_cpu_seconds_total, process_resident_memory_bytes, process_virtual_memory_bytes,
/// process_open_fds, process_max_fds, process_start_time_seconds, process_threads.
[[nodiscard]] std::vector<Observation> observe_process(Metrics& metrics);

}  // namespace holdfast::observe
