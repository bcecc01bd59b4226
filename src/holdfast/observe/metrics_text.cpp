#include "holdfast/observe/internal/metrics_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace holdfast::observe {

namespace {

bool letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool digit(char c) noexcept { return c >= '0' && c <= '9'; }

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (const char c : text) {
    switch (c) {
      case '\\': out.append("\\\\"); break;
      case '\n': out.append("\\n"); break;
      case '"': out.append(quotes ? "\\\"" : "\""); break;
      default: out.push_back(c);
    }
  }
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

}  // namespace

std::string_view to_string(MetricType type) noexcept {
  switch (type) {
    case MetricType::counter: return "counter";
    case MetricType::gauge: return "gauge";
    case MetricType::histogram: return "histogram";
  }
  return "untyped";
}

bool valid_metric_name(std::string_view name) noexcept {
  return !name.empty() && !digit(name[0]) &&
         std::ranges::all_of(name, [](char c) { return letter(c) || digit(c) || c == ':'; });
}

bool valid_label_name(std::string_view name) noexcept {
  return !name.empty() && !digit(name[0]) && !name.starts_with("__") &&
         std::ranges::all_of(name, [](char c) { return letter(c) || digit(c); });
}

std::string render_labels(const Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out.push_back(',');
    out.append(name).append("=\"");
    append_escaped(out, value, true);
    out.push_back('"');
  }
  return out;
}

void MetricsText::open(MetricType type, std::string_view name, std::string_view help) {
  name_ = name;
  std::string_view family = name;
  // OpenMetrics names a counter's family without the suffix of its samples.
  if (openmetrics_ && type == MetricType::counter && family.ends_with("_total")) {
    family.remove_suffix(std::string_view("_total").size());
  }
  text_.append("# HELP ").append(family).append(" ");
  append_escaped(text_, help, openmetrics_);
  text_.append("\n# TYPE ").append(family).append(" ").append(to_string(type)).append("\n");
}

void MetricsText::begin(std::string_view suffix, std::string_view labels) {
  text_.append(name_).append(suffix);
  if (!labels.empty()) text_.append("{").append(labels).append("}");
  text_.push_back(' ');
}

void MetricsText::sample(std::string_view suffix, std::string_view labels, double value) {
  begin(suffix, labels);
  text_.append(number(value)).append("\n");
}

void MetricsText::sample(std::string_view suffix, std::string_view labels, std::uint64_t value) {
  begin(suffix, labels);
  text_.append(std::to_string(value)).append("\n");
}

void MetricsText::sample(std::string_view suffix, std::string_view labels, std::int64_t value) {
  begin(suffix, labels);
  text_.append(std::to_string(value)).append("\n");
}

void MetricsText::histogram(std::string_view labels, const HistogramCells& cells) {
  std::uint64_t below = 0;
  for (std::size_t i = 0; i <= cells.bounds.size(); ++i) {
    below += cells.buckets[i].load(std::memory_order_relaxed);
    std::string with_bound(labels);
    if (!with_bound.empty()) with_bound.push_back(',');
    with_bound.append("le=\"")
        .append(i < cells.bounds.size() ? number(cells.bounds[i]) : "+Inf")
        .append("\"");
    sample("_bucket", with_bound, below);
  }
  sample("_sum", labels, cells.sum.load(std::memory_order_relaxed));
  sample("_count", labels, below);  // the last bucket, so that the two always agree
}

std::string MetricsText::finish() {
  if (openmetrics_) text_.append("# EOF\n");
  return std::move(text_);
}

}  // namespace holdfast::observe
