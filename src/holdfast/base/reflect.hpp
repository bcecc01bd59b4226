// JSON of described structs (base/describe.hpp), with their rules (base/rules.hpp) checked on the way in.
//
//   std::string body = to_json(order);
//   PlaceOrder command = from_json<PlaceOrder>(body);   // throws one Error listing every fault
//
// Members go by camelCase. Known: bool, integers, double, std::string, std::optional (absent or null),
// std::vector, std::map<std::string, T>, JsonText, described structs and enums, what has a TextForm
// (Id, WallTime, Currency …). std::optional<std::optional<T>> tells absent from null (for merge patches).
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "holdfast/base/describe.hpp"
#include "holdfast/base/json.hpp"
#include "holdfast/base/rules.hpp"
#include "holdfast/base/text_form.hpp"
#include "holdfast/base/time_text.hpp"
#include "holdfast/base/violations.hpp"

namespace holdfast {

struct DecodeOptions {
  JsonLimits limits = {};
  /// Requests refuse members they do not know; readers of stored or foreign JSON may pass over them.
  bool ignore_unknown = false;
};

template <class T>
void write_json(JsonWriter& writer, const T& value);

template <class T>
std::string to_json(const T& value) {
  std::string out;
  JsonWriter writer(out);
  write_json(writer, value);
  return out;
}

/// Reads `json` into `out`, adding what is wrong to `faults` at the current place. `out` is usable only
/// where nothing was added.
template <class T>
void read_json(const JsonValue& json, T& out, Violations& faults, const DecodeOptions& options = {},
               const FieldRule& rule = {});

/// Throws Error(invalid_argument): "malformed_json", or "validation_failed" with every violation.
template <class T>
T from_json(const JsonValue& json, const DecodeOptions& options = {}) {
  T value{};
  Violations faults;
  read_json(json, value, faults, options);
  faults.throw_if_any();
  return value;
}

template <class T>
T from_json(std::string_view text, const DecodeOptions& options = {}) {
  return from_json<T>(JsonDocument::parse(text, options.limits).root(), options);
}
template <class T>
T from_json(const std::string& text, const DecodeOptions& options = {}) {
  return from_json<T>(std::string_view(text), options);
}
template <class T>
T from_json(const char* text, const DecodeOptions& options = {}) {
  return from_json<T>(std::string_view(text), options);
}

/// Applies the rules of a value that was not read from JSON (a CSV line, a command built in code).
template <class T>
void check_value(const T& value, Violations& faults, const FieldRule& rule = {});

// ---------------------------------------------------------------------------------------------------

namespace detail {

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsMap = false;
template <class T>
inline constexpr bool kIsMap<std::map<std::string, T>> = true;
template <class T>
inline constexpr bool kHasNoJson = false;  // depends on T: fails only where it is reached

template <class T>
concept ValidatesItself = requires(const T& value, Violations& faults) {
  value.validate(faults);
};

void refuse_kind(std::string_view wanted, const JsonValue& json, Violations& faults);
void refuse_text(const TextSchema& schema, Violations& faults);
void refuse_enumerator(std::string_view names, Violations& faults);
void refuse_unknown(std::string_view member, Violations& faults);
void refuse_missing(std::string_view member, Violations& faults);

/// The integer `json` stands for, or nothing with the fault added. Signed and unsigned apart, since
/// neither holds the other; 3.0 counts as 3 (JSON Schema 2020-12, 4.2.3).
std::optional<std::int64_t> read_signed(const JsonValue& json, std::int64_t least, std::int64_t most,
                                        Violations& faults);
std::optional<std::uint64_t> read_unsigned(const JsonValue& json, std::uint64_t most, Violations& faults);

template <DescribedEnum E>
std::string enumerator_list() {
  std::string names;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<E>>([&](auto enumerator) {
    if (!names.empty()) names += ", ";
    names += enumerator.name;
  });
  return names;
}

template <class I>
void read_integer(const JsonValue& json, I& out, Violations& faults, const FieldRule& rule) {
  if constexpr (std::signed_integral<I>) {
    const auto value =
        read_signed(json, std::numeric_limits<I>::min(), std::numeric_limits<I>::max(), faults);
    if (!value) return;
    out = static_cast<I>(*value);
    check_integer(rule, *value, faults);
  } else {
    const auto value = read_unsigned(json, std::numeric_limits<I>::max(), faults);
    if (!value) return;
    out = static_cast<I>(*value);
    check_integer(rule, *value, faults);
  }
}

template <class T>
void read_string_like(const JsonValue& json, T& out, Violations& faults, const FieldRule& rule) {
  if (!json.is_string()) return refuse_kind("a string", json, faults);
  if constexpr (std::same_as<T, std::string>) {
    out.assign(json.as_string());
    check_text(rule, out, faults);
  } else if constexpr (DescribedEnum<T>) {
    const auto value = enum_from_name<T>(json.as_string());
    if (!value) return refuse_enumerator(enumerator_list<T>(), faults);
    out = *value;
  } else {
    auto value = TextForm<T>::parse(json.as_string());
    if (!value) return refuse_text(TextForm<T>::schema, faults);
    out = std::move(*value);
  }
}

template <Described T>
void read_object(const JsonValue& json, T& out, Violations& faults, const DecodeOptions& options) {
  if (!json.is_object()) return refuse_kind("an object", json, faults);
  const std::size_t faults_before = faults.count();
  bool seen[kMemberCount<T> + 1] = {};
  for (const JsonMember& given : json.members()) {
    const auto read_if = [&](auto member) {
      using M = decltype(member);
      if (given.key != M::json_name) return false;
      seen[M::index] = true;
      const Violations::Place place(faults, M::json_name);
      read_json(given.value, out.*M::pointer, faults, options, kRuleOf<T, M::index>);
      return true;
    };
    const bool known = [&]<std::size_t... I>(std::index_sequence<I...>) {
      return (read_if(Member<T, I>{}) || ...);
    }
    (std::make_index_sequence<kMemberCount<T>>{});
    if (!known && !options.ignore_unknown) refuse_unknown(given.key, faults);
  }
  for_each_member_info<T>([&](auto member) {
    using M = decltype(member);
    if constexpr (!kIsOptional<typename M::type> && !kRuleOf<T, M::index>.defaulted) {
      if (!seen[M::index]) refuse_missing(M::json_name, faults);
    }
  });
  if constexpr (ValidatesItself<T>) {  // rules across fields may rely on each field being sound
    if (faults.count() == faults_before) out.validate(faults);
  }
}

template <Described T>
void write_object(JsonWriter& writer, const T& value) {
  writer.begin_object();
  for_each_member_info<T>([&](auto member) {
    using M = decltype(member);
    const auto& field_value = value.*M::pointer;
    if constexpr (kIsOptional<typename M::type>) {
      if (field_value) write_json(writer.quoted_key(M::json_key), *field_value);
    } else {
      write_json(writer.quoted_key(M::json_key), field_value);
    }
  });
  writer.end_object();
}

}  // namespace detail

template <class T>
void write_json(JsonWriter& writer, const T& value) {
  if constexpr (std::is_arithmetic_v<T> || std::same_as<T, std::string> ||
                std::same_as<T, std::string_view>) {
    writer.value(value);
  } else if constexpr (detail::kIsOptional<T>) {
    if (value) {
      write_json(writer, *value);
    } else {
      writer.null();
    }
  } else if constexpr (detail::kIsVector<T>) {
    writer.begin_array();
    for (const auto& item : value) write_json(writer, item);
    writer.end_array();
  } else if constexpr (detail::kIsMap<T>) {
    writer.begin_object();
    for (const auto& [key, item] : value) write_json(writer.key(key), item);
    writer.end_object();
  } else if constexpr (std::same_as<T, JsonText>) {
    writer.raw(value.text());
  } else if constexpr (DescribedEnum<T>) {
    writer.value(enum_name(value));
  } else if constexpr (HasTextForm<T>) {
    writer.value(to_text(value));
  } else if constexpr (Described<T>) {
    detail::write_object(writer, value);
  } else {
    static_assert(detail::kHasNoJson<T>, "describe the type with HOLDFAST_DESCRIBE, or give it a TextForm");
  }
}

template <class T>
void read_json(const JsonValue& json, T& out, Violations& faults, const DecodeOptions& options,
               const FieldRule& rule) {
  if constexpr (std::same_as<T, bool>) {
    if (json.kind() != JsonKind::boolean) return detail::refuse_kind("a boolean", json, faults);
    out = json.as_bool();
  } else if constexpr (std::integral<T>) {
    detail::read_integer(json, out, faults, rule);
  } else if constexpr (std::floating_point<T>) {
    switch (json.kind()) {
      case JsonKind::number: out = static_cast<T>(json.as_double()); break;
      case JsonKind::int64: out = static_cast<T>(json.as_int64()); break;
      case JsonKind::uint64: out = static_cast<T>(json.as_uint64()); break;
      default: return detail::refuse_kind("a number", json, faults);
    }
    check_number(rule, static_cast<double>(out), faults);
  } else if constexpr (std::same_as<T, std::string> || DescribedEnum<T> || HasTextForm<T>) {
    detail::read_string_like(json, out, faults, rule);
  } else if constexpr (detail::kIsOptional<T>) {
    using Inner = typename T::value_type;
    if (!json.is_null()) {
      read_json(json, out.emplace(), faults, options, rule);
    } else if constexpr (detail::kIsOptional<Inner>) {
      out.emplace(std::nullopt);  // said to be nothing, as opposed to not said
    } else {
      out.reset();
    }
  } else if constexpr (detail::kIsVector<T>) {
    if (!json.is_array()) return detail::refuse_kind("an array", json, faults);
    check_size(rule, json.items().size(), faults);
    if (json.items().size() > rule.max_size) return;  // reading on would only cost
    out.clear();
    out.reserve(json.items().size());
    for (std::size_t i = 0; i < json.items().size(); ++i) {
      const Violations::Place place(faults, i);
      typename T::value_type item{};
      read_json(json.items()[i], item, faults, options, rule);
      out.push_back(std::move(item));
    }
  } else if constexpr (detail::kIsMap<T>) {
    if (!json.is_object()) return detail::refuse_kind("an object", json, faults);
    check_size(rule, json.members().size(), faults);
    if (json.members().size() > rule.max_size) return;
    out.clear();
    for (const JsonMember& member : json.members()) {
      const Violations::Place place(faults, member.key);
      read_json(member.value, out[std::string(member.key)], faults, options, rule);
    }
  } else if constexpr (std::same_as<T, JsonText>) {
    out = JsonText(json);
    check_text(rule, out.text(), faults);
  } else if constexpr (Described<T>) {
    detail::read_object(json, out, faults, options);
  } else {
    static_assert(detail::kHasNoJson<T>, "describe the type with HOLDFAST_DESCRIBE, or give it a TextForm");
  }
}

template <class T>
void check_value(const T& value, Violations& faults, const FieldRule& rule) {
  if constexpr (std::same_as<T, bool> || DescribedEnum<T> || HasTextForm<T>) {
    // any value of these is a sound one
  } else if constexpr (std::signed_integral<T>) {
    check_integer(rule, std::int64_t{value}, faults);
  } else if constexpr (std::unsigned_integral<T>) {
    check_integer(rule, std::uint64_t{value}, faults);
  } else if constexpr (std::floating_point<T>) {
    check_number(rule, value, faults);
  } else if constexpr (std::same_as<T, std::string>) {
    check_text(rule, value, faults);
  } else if constexpr (std::same_as<T, JsonText>) {
    check_text(rule, value.text(), faults);
  } else if constexpr (detail::kIsOptional<T>) {
    if (value) check_value(*value, faults, rule);
  } else if constexpr (detail::kIsVector<T>) {
    check_size(rule, value.size(), faults);
    for (std::size_t i = 0; i < value.size(); ++i) {
      const Violations::Place place(faults, i);
      check_value(value[i], faults, rule);
    }
  } else if constexpr (detail::kIsMap<T>) {
    check_size(rule, value.size(), faults);
    for (const auto& [key, item] : value) {
      const Violations::Place place(faults, key);
      check_value(item, faults, rule);
    }
  } else if constexpr (Described<T>) {
    const std::size_t faults_before = faults.count();
    for_each_member_info<T>([&](auto member) {
      using M = decltype(member);
      const Violations::Place place(faults, M::json_name);
      check_value(value.*M::pointer, faults, kRuleOf<T, M::index>);
    });
    if constexpr (detail::ValidatesItself<T>) {
      if (faults.count() == faults_before) value.validate(faults);
    }
  }
}

}  // namespace holdfast
