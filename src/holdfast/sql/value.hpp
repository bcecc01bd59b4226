// Value: one SQL value, as a view: null, a 64-bit integer, a double, text or bytes. What a parameter is
// bound from and what a column is read as. Codec<T> says how a C++ type becomes one and comes back.
//
//   integers, bool -> INTEGER                      std::string, string_view, literals, JsonText -> TEXT
//   double -> REAL                                 std::vector<std::byte>, span, array -> BLOB
//   WallTime -> INTEGER, microseconds since 1970   described enums -> TEXT, their enumerators' names
//   std::optional<T> -> T or NULL                  what has a TextForm (Id, Currency, …) -> TEXT
//
// Of your own types: specialise Codec<T>. A Value never owns: it lives as long as what it was made of.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/describe.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/base/text_form.hpp"

namespace holdfast::sql {

class Value {
 public:
  enum class Type : std::uint8_t { null, integer, real, text, blob };

  constexpr Value() noexcept = default;
  static constexpr Value integer(std::int64_t value) noexcept {
    Value made;
    made.type_ = Type::integer;
    made.integer_ = value;
    return made;
  }
  static constexpr Value real(double value) noexcept {
    Value made;
    made.type_ = Type::real;
    made.real_ = value;
    return made;
  }
  static constexpr Value text(std::string_view value) noexcept {
    Value made;
    made.type_ = Type::text;
    made.data_ = value.data();
    made.size_ = value.size();
    return made;
  }
  static Value blob(std::span<const std::byte> value) noexcept {
    Value made;
    made.type_ = Type::blob;
    made.data_ = reinterpret_cast<const char*>(value.data());
    made.size_ = value.size();
    return made;
  }

  /// Nothing, where there could be a value of type `instead`: some databases want to know.
  static constexpr Value null_of(Type instead) noexcept {
    Value made;
    made.integer_ = static_cast<std::int64_t>(instead);
    return made;
  }

  constexpr Type type() const noexcept { return type_; }
  /// Its type; of nothing, what there could be instead, or null where that is not known.
  constexpr Type type_instead() const noexcept {
    return type_ == Type::null ? static_cast<Type>(integer_) : type_;
  }
  constexpr bool is_null() const noexcept { return type_ == Type::null; }

  // What it holds; each throws Error(internal) naming both types where it holds something else.
  std::int64_t as_integer() const {
    if (type_ != Type::integer) refuse(Type::integer);
    return integer_;
  }
  double as_real() const {  ///< an integer is read as the double next to it
    if (type_ == Type::integer) return static_cast<double>(integer_);
    if (type_ != Type::real) refuse(Type::real);
    return real_;
  }
  std::string_view as_text() const {
    if (type_ != Type::text) refuse(Type::text);
    return {data_, size_};
  }
  std::span<const std::byte> as_blob() const {
    if (type_ != Type::blob) refuse(Type::blob);
    return {reinterpret_cast<const std::byte*>(data_), size_};
  }

 private:
  [[noreturn]] void refuse(Type wanted) const;

  Type type_ = Type::null;
  union {
    std::int64_t integer_ = 0;
    double real_;
    const char* data_;
  };
  std::size_t size_ = 0;
};

/// "integer", "text", … as used in error messages.
std::string_view to_string(Value::Type type) noexcept;

/// How T becomes a Value and comes back: `static Value to_value(const T&)` (a view into it) and
/// `static T from_value(const Value&)` (throws Error(internal) where it can't).
template <class T>
struct Codec;

template <class T>
concept Bindable = requires(const T& value) {
  { Codec<T>::to_value(value) } -> std::same_as<Value>;
};

template <class T>
concept Readable = requires(const Value& value) {
  { Codec<T>::from_value(value) } -> std::same_as<T>;
};

[[noreturn]] void throw_out_of_range(std::int64_t value);

template <class T>
requires(std::integral<T> && !std::same_as<T, bool>) struct Codec<T> {
  static constexpr Value to_value(T value) {
    if (!std::in_range<std::int64_t>(value)) throw_out_of_range(static_cast<std::int64_t>(value));
    return Value::integer(static_cast<std::int64_t>(value));
  }
  static T from_value(const Value& value) {
    const std::int64_t number = value.as_integer();
    if (!std::in_range<T>(number)) throw_out_of_range(number);
    return static_cast<T>(number);
  }
};

template <>
struct Codec<bool> {
  static constexpr Value to_value(bool value) noexcept { return Value::integer(value ? 1 : 0); }
  static bool from_value(const Value& value) { return value.as_integer() != 0; }
};

template <std::floating_point T>
struct Codec<T> {
  static constexpr Value to_value(T value) noexcept { return Value::real(static_cast<double>(value)); }
  static T from_value(const Value& value) { return static_cast<T>(value.as_real()); }
};

template <>
struct Codec<std::string> {
  static Value to_value(const std::string& value) noexcept { return Value::text(value); }
  static std::string from_value(const Value& value) { return std::string(value.as_text()); }
};

/// For parameters only: a row's text does not outlive the row.
template <>
struct Codec<std::string_view> {
  static constexpr Value to_value(std::string_view value) noexcept { return Value::text(value); }
};

template <std::size_t N>
struct Codec<char[N]> {
  static Value to_value(const char (&value)[N]) noexcept { return Value::text(value); }
};

template <>
struct Codec<std::vector<std::byte>> {
  static Value to_value(const std::vector<std::byte>& value) noexcept { return Value::blob(value); }
  static std::vector<std::byte> from_value(const Value& value) {
    const auto bytes = value.as_blob();
    return {bytes.begin(), bytes.end()};
  }
};

template <>
struct Codec<std::span<const std::byte>> {
  static Value to_value(std::span<const std::byte> value) noexcept { return Value::blob(value); }
};

[[noreturn]] void throw_wrong_size(std::size_t size, std::size_t wanted);

/// Bytes of a fixed length: digests, keys.
template <class Byte, std::size_t N>
requires(std::same_as<Byte, std::byte> ||
         std::same_as<Byte, std::uint8_t>) struct Codec<std::array<Byte, N>> {
  static Value to_value(const std::array<Byte, N>& value) noexcept {
    return Value::blob(std::as_bytes(std::span(value)));
  }
  static std::array<Byte, N> from_value(const Value& value) {
    const auto bytes = value.as_blob();
    if (bytes.size() != N) throw_wrong_size(bytes.size(), N);
    std::array<Byte, N> made;
    for (std::size_t i = 0; i < N; ++i) made[i] = static_cast<Byte>(bytes[i]);
    return made;
  }
};

template <>
struct Codec<JsonText> {
  static Value to_value(const JsonText& value) noexcept { return Value::text(value.text()); }
  static JsonText from_value(const Value& value) { return JsonText::trusted(std::string(value.as_text())); }
};

[[noreturn]] void throw_unreadable(std::string_view text, std::string_view wanted);

template <DescribedEnum T>
struct Codec<T> {
  static Value to_value(T value) noexcept { return Value::text(enum_name(value)); }
  static T from_value(const Value& value) {
    const std::optional<T> found = enum_from_name<T>(value.as_text());
    if (!found) throw_unreadable(value.as_text(), "an enumerator");
    return *found;
  }
};

/// Its text is made for the purpose, so it is the Param that keeps it.
template <HasTextForm T>
struct Codec<T> {
  static T from_value(const Value& value) {
    std::optional<T> found = parse_text<T>(value.as_text());
    if (!found) throw_unreadable(value.as_text(), TextForm<T>::schema.what);
    return std::move(*found);
  }
};

template <>
struct Codec<WallTime> {
  static constexpr Value to_value(WallTime value) noexcept {
    return Value::integer(value.time_since_epoch().count());
  }
  static WallTime from_value(const Value& value) {
    return WallTime(std::chrono::microseconds(value.as_integer()));
  }
};

template <class T>
struct Codec<std::optional<T>> {
  static Value to_value(const std::optional<T>& value) requires Bindable<T> {
    if (value) return Codec<T>::to_value(*value);
    if constexpr (std::default_initializable<T>) return Value::null_of(Codec<T>::to_value(T{}).type());
    return Value();
  }
  static std::optional<T> from_value(const Value& value) requires Readable<T> {
    if (value.is_null()) return std::nullopt;
    return Codec<T>::from_value(value);
  }
};

/// A parameter of a statement: a Value made from whatever has a Codec. Made in the call's own
/// expression, it may view temporaries of that expression; so it is not copied.
class Param : public Value {
 public:
  Param(std::nullptr_t) noexcept {}
  Param(std::nullopt_t) noexcept {}
  Param(const Value& value) noexcept : Value(value) {}
  Param(const char* text) noexcept : Value(Value::text(text)) {}
  template <Bindable T>
  Param(const T& value) : Value(Codec<T>::to_value(value)) {}
  template <HasTextForm T>
  requires(!Bindable<T>) Param(const T& value) { keep(value); }
  template <HasTextForm T>
  requires(!Bindable<T>) Param(const std::optional<T>& value) {
    value ? keep(*value) : void(Value::operator=(Value::null_of(Type::text)));
  }
  Param(const Param&) = delete;
  Param& operator=(const Param&) = delete;

 private:
  template <class T>
  void keep(const T& value) {
    TextForm<T>::append(kept_, value);
    Value::operator=(Value::text(kept_));
  }
  std::string kept_;
};

}  // namespace holdfast::sql
