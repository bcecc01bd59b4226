// What came of a drill: checks that held or did not, each with its evidence, and the figures that were
// measured on the way. One text for people, one JSON object for machines.
//
//   print(report_text(report));          PASS  slow-loris  12.3 s …
//   print(reports_json(reports));        {"passed":true,"drills":[…]}
//
// Thread-safety: values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace holdfast::drills {

struct Check {
  std::string what;  ///< "no charge without an order"
  bool held = false;
  std::string evidence;  ///< "1,204 charges, each of an order"
};

struct Figure {
  std::string name;  ///< "goodput"
  double value = 0;
  std::string unit;  ///< "1/s", "ms", "%"; may be empty
};

enum class Verdict : std::uint8_t {
  passed,
  failed,
  not_run,  ///< it needs something these programs do not have; `why_not` says what
};

struct Report {
  std::string drill;
  std::uint64_t seed = 0;
  double seconds = 0;  ///< it took
  std::vector<Check> checks;
  std::vector<Figure> figures;
  std::string why_not;
  std::filesystem::path kept;  ///< the folder with data and logs; empty where it was removed

  /// Failed where a check did not hold, or where nothing was checked.
  Verdict verdict() const noexcept;
};

const char* to_text(Verdict verdict) noexcept;  ///< "PASS", "FAIL", "NOT RUN"
std::string report_text(const Report& report);
std::string reports_json(std::span<const Report> reports);

/// "12.3 ms", "1,204 1/s": three digits that count.
std::string with_unit(double value, const std::string& unit);

}  // namespace holdfast::drills
