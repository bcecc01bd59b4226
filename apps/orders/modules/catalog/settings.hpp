// The settings below `catalog`. (Part of catalog.hpp.)
#pragma once

#include <chrono>
#include <cstdint>

#include "holdfast/base/rules.hpp"

namespace holdfast::orders::catalog {

struct PageSettings {
  std::chrono::milliseconds reviews_budget = std::chrono::milliseconds(50);
  std::chrono::milliseconds bought_together_budget = std::chrono::milliseconds(50);
  std::chrono::seconds max_staleness = std::chrono::minutes(10);
  std::chrono::milliseconds bought_together_fresh_for = std::chrono::seconds(30);
  std::uint32_t max_remembered = 4'096;
  std::chrono::milliseconds reviews_delay{0};
  std::chrono::milliseconds bought_together_delay{0};

  static constexpr auto rules() {
    return holdfast::rules(
        field<&PageSettings::reviews_budget>().range(1, 60'000).doc("Reviews that take longer are late."),
        field<&PageSettings::bought_together_budget>().range(1, 60'000).doc(
            "What is bought together, if it takes longer, is late."),
        field<&PageSettings::max_staleness>().range(0, 86'400).doc(
            "A part that is late or fails is served as it was, if that is not longer ago."),
        field<&PageSettings::bought_together_fresh_for>()
            .range(0, 3'600'000)
            .doc("What is bought together is not looked up again for so long."),
        field<&PageSettings::max_remembered>()
            .range(1, 1'000'000)
            .doc("Products whose parts are remembered; the least recently shown go first."),
        field<&PageSettings::reviews_delay>().range(0, 60'000).doc("For drills: reviews come so late."),
        field<&PageSettings::bought_together_delay>().range(0, 60'000).doc(
            "For drills: what is bought together comes so late."));
  }
};
HOLDFAST_DESCRIBE(PageSettings,
                  (reviews_budget, bought_together_budget, max_staleness, bought_together_fresh_for,
                   max_remembered, reviews_delay, bought_together_delay))

struct Settings {
  PageSettings page;
};
HOLDFAST_DESCRIBE(Settings, (page))

}  // namespace holdfast::orders::catalog
