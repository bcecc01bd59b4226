// Brute force for the tests of rate limiters: what passed, looked at through windows of any position.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "holdfast/base/clock.hpp"

namespace holdfast::resilience::testing {

/// The most of `grants` (in order) that lie in a half-open span of `width`, wherever it is put. It is enough
/// to try the spans that start at a grant.
inline std::size_t most_in_any_span(const std::vector<Instant>& grants, Duration width) {
  std::size_t most = 0;
  std::size_t end = 0;
  for (std::size_t begin = 0; begin < grants.size(); ++begin) {
    while (end < grants.size() && grants[end] - grants[begin] < width) ++end;
    most = std::max(most, end - begin);
  }
  return most;
}

}  // namespace holdfast::resilience::testing
