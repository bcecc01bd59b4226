// Prometheus' text formats.
// Thread-safety: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/observe/metrics.hpp"

namespace holdfast::observe {

enum class MetricType : std::uint8_t { counter, gauge, histogram };

std::string_view to_string(MetricType type) noexcept;

/// What a metric may be called, "[a-zA-Z_:][a-zA-Z0-9_:]*", and a label, the same without colons.
bool valid_metric_name(std::string_view name) noexcept;
bool valid_label_name(std::string_view name) noexcept;

/// `route="/v1/orders",method="POST"`, escaped; empty without labels.
std::string render_labels(const Labels& labels);

/// One family at a time: open() it, then write its samples.
class MetricsText {
 public:
  explicit MetricsText(bool openmetrics) : openmetrics_(openmetrics) {}

  void open(MetricType type, std::string_view name, std::string_view help);
  /// `labels` as render_labels() gave them.
  void sample(std::string_view suffix, std::string_view labels, double value);
  void sample(std::string_view suffix, std::string_view labels, std::uint64_t value);
  void sample(std::string_view suffix, std::string_view labels, std::int64_t value);
  void histogram(std::string_view labels, const HistogramCells& cells);
  std::string finish();

 private:
  void begin(std::string_view suffix, std::string_view labels);

  const bool openmetrics_;
  std::string name_;
  std::string text_;
};

}  // namespace holdfast::observe
