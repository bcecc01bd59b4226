#include "holdfast/config/internal/spelling.hpp"

#include <algorithm>
#include <numeric>

namespace holdfast::config {

namespace {

constexpr std::size_t kLongestCompared = 100;

/// Levenshtein's: insertions, deletions and replacements from one to the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string variable_name(std::string_view prefix, std::string_view path) {
  std::string name(prefix);
  for (const char c : path) name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return name;
}

std::string suggestion(std::string_view given, const std::vector<std::string_view>& known) {
  if (given.size() > kLongestCompared) return {};
  std::string_view best;
  std::size_t least = std::max<std::size_t>(1, std::min<std::size_t>(3, given.size() / 3)) + 1;
  for (const std::string_view candidate : known) {
    if (const std::size_t away = distance(given, candidate); away < least) {
      least = away;
      best = candidate;
    }
  }
  return best.empty() ? std::string() : "; did you mean " + std::string(best) + "?";
}

}  // namespace holdfast::config
