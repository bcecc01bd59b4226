#include "drills/frame/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "holdfast/base/json.hpp"

namespace holdfast::drills {

namespace {

std::string grouped(std::int64_t number) {
  std::string text = std::to_string(number);
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  for (std::size_t at = text.size(); at > first + 3; at -= 3) text.insert(at - 3, ",");
  return text;
}

std::size_t widest(const std::vector<Figure>& figures) {
  std::size_t width = 0;
  for (const Figure& figure : figures) width = std::max(width, figure.name.size());
  return width;
}

}  // namespace

Verdict Report::verdict() const noexcept {
  if (!why_not.empty()) return Verdict::not_run;
  const bool held = !checks.empty() && std::ranges::all_of(checks, &Check::held);
  return held ? Verdict::passed : Verdict::failed;
}

const char* to_text(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::passed: return "PASS";
    case Verdict::failed: return "FAIL";
    case Verdict::not_run: return "NOT RUN";
  }
  return "";
}

std::string with_unit(double value, const std::string& unit) {
  const double size = std::abs(value);
  const bool whole = size >= 100 || value == std::floor(value);
  std::string text = whole ? grouped(std::llround(value)) : fmt::format("{:.{}f}", value, size >= 10 ? 1 : 2);
  return unit.empty() ? text : text + " " + unit;
}

std::string report_text(const Report& report) {
  std::string text = fmt::format("{}  {}  {:.1f} s, seed {}\n", to_text(report.verdict()), report.drill,
                                 report.seconds, report.seed);
  if (!report.why_not.empty()) return text + "  " + report.why_not + "\n";
  const std::size_t width = widest(report.figures);
  for (const Figure& figure : report.figures) {
    text += fmt::format("  {:<{}}  {:>12}\n", figure.name, width, with_unit(figure.value, figure.unit));
  }
  for (const Check& check : report.checks) {
    text += fmt::format("  {} {}{}\n", check.held ? "ok    " : "FAILED", check.what,
                        check.evidence.empty() ? "" : ": " + check.evidence);
  }
  if (!report.kept.empty()) text += "  data and logs are in " + report.kept.string() + "\n";
  return text;
}

std::string reports_json(std::span<const Report> reports) {
  std::string out;
  JsonWriter writer(out);
  const bool passed =
      std::ranges::all_of(reports, [](const Report& each) { return each.verdict() == Verdict::passed; });
  writer.begin_object().member("passed", passed).key("drills").begin_array();
  for (const Report& report : reports) {
    const Verdict verdict = report.verdict();
    writer.begin_object()
        .member("drill", report.drill)
        .member("verdict", verdict == Verdict::passed   ? "passed"
                           : verdict == Verdict::failed ? "failed"
                                                        : "not_run")
        .member("seed", std::to_string(report.seed))
        .member("seconds", report.seconds);
    if (!report.why_not.empty()) writer.member("whyNot", report.why_not);
    if (!report.kept.empty()) writer.member("folder", report.kept.string());
    writer.key("figures").begin_array();
    for (const Figure& figure : report.figures) {
      writer.begin_object()
          .member("name", figure.name)
          .member("value", figure.value)
          .member("unit", figure.unit)
          .end_object();
    }
    writer.end_array().key("checks").begin_array();
    for (const Check& check : report.checks) {
      writer.begin_object()
          .member("what", check.what)
          .member("held", check.held)
          .member("evidence", check.evidence)
          .end_object();
    }
    writer.end_array().end_object();
  }
  writer.end_array().end_object();
  return out;
}

}  // namespace holdfast::drills
