#include "holdfast/base/rules.hpp"

#include "holdfast/base/utf8.hpp"

namespace holdfast {
namespace {

/// "1 to 64", "at least 1", "at most 64".
template <class N>
std::string between(N least, N lowest, N most, N highest) {
  if (most == highest) return "at least " + std::to_string(least);
  if (least == lowest) return "at most " + std::to_string(most);
  if (least == most) return "exactly " + std::to_string(least);
  return std::to_string(least) + " to " + std::to_string(most);
}

std::string between_counts(std::size_t least, std::size_t most) {
  return between<std::size_t>(least, 0, most, FieldRule::kNoMaximum);
}

bool in_set(const FieldRule& rule, std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 128 || (rule.char_set[byte / 64] >> (byte % 64) & 1) == 0) return false;
  }
  return true;
}

bool is_choice(const FieldRule& rule, std::string_view text) {
  for (std::size_t i = 0; i < rule.choice_count; ++i) {
    if (rule.choices[i] == text) return true;
  }
  return false;
}

void refuse_range(const FieldRule& rule, Violations& faults) {
  const bool both = rule.minimum != FieldRule::kLowest && rule.maximum != FieldRule::kHighest;
  faults.add("out_of_range",
             (both ? "must be from " : "must be ") +
                 between(rule.minimum, FieldRule::kLowest, rule.maximum, FieldRule::kHighest));
}

}  // namespace

void check_text(const FieldRule& rule, std::string_view text, Violations& faults) {
  if (rule.min_length != 0 || text.size() > rule.max_length) {  // bytes are never fewer than code points
    const std::size_t length = code_points(text);
    if (length < rule.min_length || length > rule.max_length) {
      faults.add(length < rule.min_length ? "too_short" : "too_long",
                 "must have " + between_counts(rule.min_length, rule.max_length) + " characters; it has " +
                     std::to_string(length));
      return;
    }
  }
  if (!rule.allowed_chars.empty() && !in_set(rule, text)) {
    faults.add("bad_characters", "may hold only the characters [" + std::string(rule.allowed_chars) + "]");
    return;
  }
  if (rule.choice_count != 0 && !is_choice(rule, text)) {
    std::string list;
    for (std::size_t i = 0; i < rule.choice_count; ++i) {
      if (i != 0) list += ", ";
      list += rule.choices[i];
    }
    faults.add("unknown_value", "must be one of: " + list);
    return;
  }
  if (rule.printable && has_control_characters(text)) {
    faults.add("bad_characters", "must not hold control characters");
  }
}

void check_integer(const FieldRule& rule, std::int64_t value, Violations& faults) {
  if (value < rule.minimum || value > rule.maximum) refuse_range(rule, faults);
}

void check_integer(const FieldRule& rule, std::uint64_t value, Violations& faults) {
  const bool over = rule.maximum != FieldRule::kHighest &&
                    (rule.maximum < 0 || value > static_cast<std::uint64_t>(rule.maximum));
  const bool under = rule.minimum > 0 && value < static_cast<std::uint64_t>(rule.minimum);
  if (over || under) refuse_range(rule, faults);
}

void check_number(const FieldRule& rule, double value, Violations& faults) {
  const bool under = rule.minimum != FieldRule::kLowest && value < static_cast<double>(rule.minimum);
  const bool over = rule.maximum != FieldRule::kHighest && value > static_cast<double>(rule.maximum);
  if (under || over) refuse_range(rule, faults);
}

void check_size(const FieldRule& rule, std::size_t size, Violations& faults) {
  if (size >= rule.min_size && size <= rule.max_size) return;
  faults.add(
      size < rule.min_size ? "too_few" : "too_many",
      "must have " + between_counts(rule.min_size, rule.max_size) + " items; it has " + std::to_string(size));
}

}  // namespace holdfast
