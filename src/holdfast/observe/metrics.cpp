#include "holdfast/observe/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>

#include "holdfast/base/error.hpp"
#include "holdfast/observe/internal/metrics_text.hpp"

namespace holdfast::observe {

namespace {

constexpr double kLatencyBuckets[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                      0.1,    0.25,  0.5,    1,     2.5,  5,     10};
constexpr double kFastLatencyBuckets[] = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025,
                                          0.005,   0.01,     0.025,   0.05,   0.1,     0.25,   1};
constexpr double kSizeBuckets[] = {256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216};

constexpr std::string_view kRefusedName = "holdfast_metrics_series_refused_total";
constexpr std::string_view kRefusedHelp = "Label sets counted as \"other\" because their family was full.";

/// One label set of a family. A cache line of its own: neighbours are counted on other cores.
struct alignas(64) Series {
  std::string labels;  // rendered
  std::atomic<std::uint64_t> count{0};
  std::atomic<std::int64_t> level{0};
  HistogramCells cells;
};

/// A label set whose value is asked for at each scrape.
struct ObservedSeries {
  std::uint64_t id;
  std::string labels;
  std::function<double()> read;
};

struct Family {
  MetricType type = MetricType::counter;
  std::string help;
  std::vector<std::string> label_names;
  std::vector<double> bounds;
  std::deque<Series> series;  // handles point into it: never shrinks
  std::map<std::string, Series*, std::less<>> by_labels;
  std::vector<ObservedSeries> observed;
};

[[noreturn]] void refuse(std::string_view name, std::string_view why) {
  throw Error(ErrorCode::internal, fmt::format("The metric \"{}\" {}.", name, why)).reason("invalid_metric");
}

}  // namespace

std::span<const double> latency_buckets() noexcept { return kLatencyBuckets; }
std::span<const double> fast_latency_buckets() noexcept { return kFastLatencyBuckets; }
std::span<const double> size_buckets() noexcept { return kSizeBuckets; }

void Histogram::observe(double value) const noexcept {
  if (cells_ == nullptr) return;
  const auto at = std::ranges::lower_bound(cells_->bounds, value);  // bounds are inclusive
  const auto index = static_cast<std::size_t>(at - cells_->bounds.begin());
  cells_->buckets[index].fetch_add(1, std::memory_order_relaxed);
  cells_->sum.fetch_add(value, std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const noexcept {
  if (cells_ == nullptr) return 0;
  std::uint64_t all = 0;
  for (std::size_t i = 0; i <= cells_->bounds.size(); ++i)
    all += cells_->buckets[i].load(std::memory_order_relaxed);
  return all;
}

double Histogram::sum() const noexcept {
  return cells_ == nullptr ? 0 : cells_->sum.load(std::memory_order_relaxed);
}

struct Metrics::State {
  explicit State(Options the_options) : options(the_options) {}

  Family& family(MetricType type, std::string_view name, std::string_view help, Labels& labels) {
    if (!valid_metric_name(name)) refuse(name, "has a name that Prometheus does not allow");
    std::ranges::sort(labels);
    std::vector<std::string> names;
    for (const auto& [label, value] : labels) {
      if (!valid_label_name(label) || label == "le")
        refuse(name, fmt::format("can't have a label \"{}\"", label));
      if (!names.empty() && names.back() == label)
        refuse(name, fmt::format("has the label \"{}\" twice", label));
      names.push_back(label);
    }
    const auto [found, added] = families.try_emplace(std::string(name));
    Family& family = found->second;
    if (added) {
      family.type = type;
      family.help = help;
      family.label_names = std::move(names);
    } else if (family.type != type) {
      refuse(name, fmt::format("is a {} already", to_string(family.type)));
    } else if (family.label_names != names) {
      refuse(name, "has been made with other label names");
    }
    return family;
  }

  Series& series(Family& family, Labels& labels) {
    std::string rendered = render_labels(labels);
    if (const auto found = family.by_labels.find(rendered); found != family.by_labels.end())
      return *found->second;
    if (!labels.empty() && family.by_labels.size() >= options.max_series_per_family) {
      refused.fetch_add(1, std::memory_order_relaxed);
      for (auto& [name, value] : labels) value = "other";
      rendered = render_labels(labels);
      if (const auto found = family.by_labels.find(rendered); found != family.by_labels.end())
        return *found->second;
    }
    Series& made = family.series.emplace_back();
    made.labels = rendered;
    if (family.type == MetricType::histogram) {
      made.cells.bounds = family.bounds;
      made.cells.buckets = std::make_unique<std::atomic<std::uint64_t>[]>(family.bounds.size() + 1);
    }
    family.by_labels.emplace(std::move(rendered), &made);
    return made;
  }

  Series& get(MetricType type, std::string_view name, std::string_view help, Labels& labels) {
    const std::lock_guard lock(mutex);
    return series(family(type, name, help, labels), labels);
  }

  std::uint64_t observe(MetricType type, std::string_view name, std::string_view help, Labels& labels,
                        std::function<double()> read) {
    const std::lock_guard lock(mutex);
    Family& its_family = family(type, name, help, labels);
    std::string rendered = render_labels(labels);
    if (its_family.by_labels.contains(rendered) ||
        std::ranges::count(its_family.observed, rendered, &ObservedSeries::labels) != 0) {
      refuse(name, fmt::format("is kept for {{{}}} by somebody else already", rendered));
    }
    its_family.observed.push_back({++last_observation, std::move(rendered), std::move(read)});
    return last_observation;
  }

  std::string expose(bool openmetrics) const {
    MetricsText text(openmetrics);
    const std::lock_guard lock(mutex);
    for (const auto& [name, family] : families) {
      if (family.series.empty() && family.observed.empty()) continue;
      text.open(family.type, name, family.help);
      for (const Series& one : family.series) {
        switch (family.type) {
          case MetricType::counter:
            text.sample("", one.labels, one.count.load(std::memory_order_relaxed));
            break;
          case MetricType::gauge:
            text.sample("", one.labels, one.level.load(std::memory_order_relaxed));
            break;
          case MetricType::histogram: text.histogram(one.labels, one.cells); break;
        }
      }
      for (const ObservedSeries& one : family.observed) text.sample("", one.labels, one.read());
    }
    text.open(MetricType::counter, kRefusedName, kRefusedHelp);
    text.sample("", "", refused.load(std::memory_order_relaxed));
    return text.finish();
  }

  const Options options;
  std::atomic<std::uint64_t> refused{0};
  mutable std::mutex mutex;  // guards what follows; never taken to count
  std::map<std::string, Family, std::less<>> families;
  std::uint64_t last_observation = 0;
};

Metrics::Metrics() : Metrics(Options()) {}
Metrics::Metrics(Options options) : state_(std::make_unique<State>(options)) {}
Metrics::~Metrics() = default;

Counter Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
  return Counter(&state_->get(MetricType::counter, name, help, labels).count);
}

Gauge Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
  return Gauge(&state_->get(MetricType::gauge, name, help, labels).level);
}

Histogram Metrics::histogram(std::string_view name, std::string_view help, Labels labels,
                             std::span<const double> bounds) {
  if (bounds.empty() || !std::ranges::is_sorted(bounds, std::ranges::less_equal{})) {
    refuse(name, "needs ascending bucket bounds");
  }
  const std::lock_guard lock(state_->mutex);
  Family& family = state_->family(MetricType::histogram, name, help, labels);
  if (family.bounds.empty()) family.bounds.assign(bounds.begin(), bounds.end());
  if (!std::ranges::equal(family.bounds, bounds)) refuse(name, "has been made with other bucket bounds");
  return Histogram(&state_->series(family, labels).cells);
}

Observation Metrics::observe_gauge(std::string_view name, std::string_view help, Labels labels,
                                   std::function<double()> read) {
  return Observation(this, state_->observe(MetricType::gauge, name, help, labels, std::move(read)));
}

Observation Metrics::observe_counter(std::string_view name, std::string_view help, Labels labels,
                                     std::function<double()> read) {
  return Observation(this, state_->observe(MetricType::counter, name, help, labels, std::move(read)));
}

std::string Metrics::expose() const { return state_->expose(false); }
std::string Metrics::expose_openmetrics() const { return state_->expose(true); }

Observation& Observation::operator=(Observation&& other) noexcept {
  if (this == &other) return *this;
  stop();
  metrics_ = std::exchange(other.metrics_, nullptr);
  id_ = other.id_;
  return *this;
}

void Observation::stop() noexcept {
  if (metrics_ == nullptr) return;
  const std::lock_guard lock(metrics_->state_->mutex);
  for (auto& [name, family] : metrics_->state_->families) {
    std::erase_if(family.observed, [this](const ObservedSeries& one) { return one.id == id_; });
  }
  metrics_ = nullptr;
}

}  // namespace holdfast::observe
