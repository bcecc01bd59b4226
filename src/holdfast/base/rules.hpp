// What a described struct's fields may hold, declared within it, checked wherever it is read, and shown
// in the API's document.
//
//   struct OrderItem {
//     std::string sku;
//     std::int64_t quantity = 0;
//     static constexpr auto rules() {
//       return holdfast::rules(holdfast::field<&OrderItem::sku>().length(1,
//       64).pattern_chars("A-Za-z0-9._-"),
//                              holdfast::field<&OrderItem::quantity>().range(1, 1'000'000).doc("Pieces."));
//     }
//   };
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/violations.hpp"

namespace holdfast {

/// Rules as data. A limit at its extreme is no limit. For an array, `size` is about the array and the
/// rest about each item.
struct FieldRule {
  static constexpr std::size_t kNoMaximum = std::numeric_limits<std::size_t>::max();
  static constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
  static constexpr std::int64_t kHighest = std::numeric_limits<std::int64_t>::max();
  static constexpr std::size_t kMaxChoices = 16;

  std::size_t min_length = 0;  ///< of a string, in code points
  std::size_t max_length = kNoMaximum;
  std::int64_t minimum = kLowest;  ///< of a number
  std::int64_t maximum = kHighest;
  std::size_t min_size = 0;  ///< of an array or map
  std::size_t max_size = kNoMaximum;
  std::string_view allowed_chars;           ///< as in a regular expression's brackets; empty: any
  std::array<std::uint64_t, 2> char_set{};  ///< the same as a set of ASCII
  std::array<std::string_view, kMaxChoices> choices{};
  std::size_t choice_count = 0;
  bool printable = false;  ///< no control characters
  bool defaulted = false;  ///< may be absent; the struct's initialiser stands

  std::string_view doc;
  std::string_view example;  ///< JSON text

  constexpr bool has_range() const { return minimum != kLowest || maximum != kHighest; }
};

/// FieldRules of one member, as declared.
template <auto Pointer>
struct Field : FieldRule {
  /// Code points.
  consteval Field length(std::size_t least, std::size_t most) const {
    Field copy = *this;
    copy.min_length = least;
    copy.max_length = most;
    return copy;
  }
  consteval Field range(std::int64_t least, std::int64_t most) const {
    Field copy = *this;
    copy.minimum = least;
    copy.maximum = most;
    return copy;
  }
  /// Items of an array or entries of a map.
  consteval Field size(std::size_t least, std::size_t most) const {
    Field copy = *this;
    copy.min_size = least;
    copy.max_size = most;
    return copy;
  }
  /// Only these ASCII characters, ranges with '-' (a '-' itself at the end): "A-Za-z0-9._-".
  consteval Field pattern_chars(std::string_view characters) const {
    Field copy = *this;
    copy.allowed_chars = characters;
    for (std::size_t i = 0; i < characters.size(); ++i) {
      const bool is_range = i + 2 < characters.size() && characters[i + 1] == '-';
      const auto last = static_cast<unsigned char>(is_range ? characters[i + 2] : characters[i]);
      for (auto c = static_cast<unsigned char>(characters[i]); c <= last; ++c) {
        copy.char_set[c / 64] |= std::uint64_t{1} << (c % 64);
      }
      if (is_range) i += 2;
    }
    return copy;
  }
  template <class... Text>
  consteval Field one_of(Text... texts) const {
    static_assert(sizeof...(texts) <= kMaxChoices);
    Field copy = *this;
    ((copy.choices[copy.choice_count++] = texts), ...);
    return copy;
  }
  /// Refuses control characters.
  consteval Field printable() const {
    Field copy = *this;
    copy.FieldRule::printable = true;
    return copy;
  }
  /// May be absent, and then keeps what the struct initialises it with.
  consteval Field defaulted() const {
    Field copy = *this;
    copy.FieldRule::defaulted = true;
    return copy;
  }
  /// A sentence for the API's document.
  consteval Field doc(std::string_view sentence) const {
    Field copy = *this;
    copy.FieldRule::doc = sentence;
    return copy;
  }
  /// JSON text: `"MUG-1"` with its quotes, `3`.
  consteval Field example(std::string_view json) const {
    Field copy = *this;
    copy.FieldRule::example = json;
    return copy;
  }
};

template <auto Pointer>
consteval Field<Pointer> field() {
  return {};
}

template <class... F>
consteval std::tuple<F...> rules(F... fields) {
  return {fields...};
}

template <class T>
concept HasRules = requires {
  T::rules();
};

namespace detail {

template <Described T, std::size_t I>
consteval FieldRule find_rule() {
  FieldRule found;
  if constexpr (HasRules<T>) {
    std::apply(
        [&](const auto&... fields) {
          const auto look = [&](const auto& candidate) {
            using Candidate = std::remove_cvref_t<decltype(candidate)>;
            if constexpr (std::is_same_v<Candidate, Field<Member<T, I>::pointer>>) found = candidate;
          };
          (look(fields), ...);
        },
        T::rules());
  }
  return found;
}

}  // namespace detail

/// The rules of member I of T; no limits where none are declared.
template <Described T, std::size_t I>
inline constexpr FieldRule kRuleOf = detail::find_rule<T, I>();

/// Each adds what is wrong with the value to `faults`, at the current place.
void check_text(const FieldRule& rule, std::string_view text, Violations& faults);
void check_integer(const FieldRule& rule, std::int64_t value, Violations& faults);
void check_integer(const FieldRule& rule, std::uint64_t value, Violations& faults);
void check_number(const FieldRule& rule, double value, Violations& faults);
void check_size(const FieldRule& rule, std::size_t size, Violations& faults);

}  // namespace holdfast
