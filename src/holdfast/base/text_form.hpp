// How a value that is one word on the wire is written and read: ids, times, currencies. Specialise
// TextForm once, and the type works in JSON, in paths and queries, and in generated documents.
//
//   template <> struct holdfast::TextForm<Colour> {
//     static void append(std::string& out, const Colour& colour);
//     static std::optional<Colour> parse(std::string_view text);   // strict: nothing is guessed
//     static constexpr TextSchema schema{.what = "a colour such as #00ff00", .pattern = "^#[0-9a-f]{6}$"};
//   };
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/describe.hpp"

namespace holdfast {

struct TextSchema {
  std::string_view what;          ///< completes "must be …"
  std::string_view format = {};   ///< JSON Schema's `format`
  std::string_view pattern = {};  ///< JSON Schema's `pattern` (ECMA 262)
  std::string_view example = {};
};

template <class T>
struct TextForm;

template <class T>
concept HasTextForm = requires(std::string& out, const T& value, std::string_view text) {
  TextForm<T>::append(out, value);
  { TextForm<T>::parse(text) } -> std::same_as<std::optional<T>>;
  { TextForm<T>::schema } -> std::convertible_to<const TextSchema&>;
};

/// The text of `value`.
template <HasTextForm T>
std::string to_text(const T& value) {
  std::string out;
  TextForm<T>::append(out, value);
  return out;
}

template <HasTextForm T>
std::optional<T> parse_text(std::string_view text) {
  return TextForm<T>::parse(text);
}

}  // namespace holdfast
