// Path and query parameters as described structs, by the same rules as bodies (base/rules.hpp): member
// `next_cursor` is `?nextCursor=`, or `{nextCursor}` in a pattern. A std::vector is a list separated by
// commas. Unknown and repeated query parameters are faults.
//
// Thread-safety: pure functions of their arguments.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/reflect.hpp"
#include "holdfast/http/operation.hpp"
#include "holdfast/http/request.hpp"

namespace holdfast::http {

/// Reads one value from its text. Whole numbers and decimals as in JSON, `true` and `false`.
template <class T>
void read_text(std::string_view text, T& out, Violations& faults, const FieldRule& rule = {}) {
  if constexpr (::holdfast::detail::kIsOptional<T>) {
    read_text(text, out.emplace(), faults, rule);
  } else if constexpr (::holdfast::detail::kIsVector<T>) {
    out.clear();
    std::size_t start = 0;
    while (start <= text.size() && out.size() <= rule.max_size) {
      const std::size_t end = std::min(text.find(',', start), text.size());
      typename T::value_type item{};
      read_text(text.substr(start, end - start), item, faults, rule);
      out.push_back(std::move(item));
      start = end + 1;
    }
    check_size(rule, out.size(), faults);
  } else if constexpr (std::same_as<T, std::string>) {
    out.assign(text);
    check_text(rule, out, faults);
  } else if constexpr (std::same_as<T, bool>) {
    if (text != "true" && text != "false") return faults.add("wrong_type", "must be true or false");
    out = text == "true";
  } else if constexpr (std::is_arithmetic_v<T>) {
    const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
    const bool whole = result.ptr == text.data() + text.size();
    if (result.ec == std::errc::result_out_of_range && whole)
      return faults.add("out_of_range", "is too large");
    if (result.ec != std::errc() || !whole) {
      return faults.add("wrong_type", std::integral<T> ? "must be a whole number" : "must be a number");
    }
    if constexpr (std::floating_point<T>) {
      if (!std::isfinite(out)) return faults.add("wrong_type", "must be a number");
    }
    check_value(out, faults, rule);
  } else if constexpr (DescribedEnum<T>) {
    const auto value = enum_from_name<T>(text);
    if (!value)
      return ::holdfast::detail::refuse_enumerator(::holdfast::detail::enumerator_list<T>(), faults);
    out = *value;
  } else {
    static_assert(HasTextForm<T>, "a parameter is a scalar, an enum, or has a TextForm");
    auto value = TextForm<T>::parse(text);
    if (!value) return ::holdfast::detail::refuse_text(TextForm<T>::schema, faults);
    out = std::move(*value);
  }
}

template <Described T>
void read_path(const Request& request, T& out, Violations& faults) {
  for_each_member_info<T>([&](auto member) {
    using M = decltype(member);
    const std::string place_name = "path " + std::string(M::json_name);
    const auto place = Violations::Place::named(faults, place_name);
    read_text(request.path_parameter(M::json_name), out.*M::pointer, faults, kRuleOf<T, M::index>);
  });
}

template <Described T>
void read_query(const Request& request, T& out, Violations& faults) {
  bool seen[kMemberCount<T> + 1] = {};
  for (const QueryParameter& given : request.query_parameters()) {
    const std::string place_name = "?" + given.name;
    const auto place = Violations::Place::named(faults, place_name);
    bool known = false;
    for_each_member_info<T>([&](auto member) {
      using M = decltype(member);
      if (given.name != M::json_name) return;
      known = true;
      if (seen[M::index]) return faults.add("duplicate_parameter", "is there more than once");
      seen[M::index] = true;
      read_text(given.value, out.*M::pointer, faults, kRuleOf<T, M::index>);
    });
    if (!known) faults.add("unknown_parameter", "is not a parameter of this operation");
  }
  const std::size_t faults_before = faults.count();
  for_each_member_info<T>([&](auto member) {
    using M = decltype(member);
    if constexpr (!::holdfast::detail::kIsOptional<typename M::type> && !kRuleOf<T, M::index>.defaulted) {
      if (seen[M::index]) return;
      const std::string place_name = "?" + std::string(M::json_name);
      const auto place = Violations::Place::named(faults, place_name);
      faults.add("required", "is required");
    }
  });
  if constexpr (::holdfast::detail::ValidatesItself<T>) {
    if (faults.count() == faults_before) out.validate(faults);
  }
}

/// The members of T as parameters.
template <Described T>
std::vector<ParameterSchema> parameter_schemas(SchemaRegistry& schemas) {
  std::vector<ParameterSchema> parameters;
  const T initial{};
  for_each_member_info<T>([&](auto member) {
    using M = decltype(member);
    constexpr const FieldRule& kRule = kRuleOf<T, M::index>;
    constexpr bool kOptional = ::holdfast::detail::kIsOptional<typename M::type>;
    ParameterSchema& parameter = parameters.emplace_back();
    parameter.name = M::json_name;
    parameter.required = !kOptional && !kRule.defaulted;
    parameter.description = kRule.doc;
    FieldRule bare = kRule;
    bare.doc = {};
    if constexpr (kOptional) {  // absent, never null
      parameter.list = ::holdfast::detail::kIsVector<typename M::type::value_type>;
      parameter.schema = json_schema<typename M::type::value_type>(schemas, bare);
    } else {
      parameter.list = ::holdfast::detail::kIsVector<typename M::type>;
      parameter.schema = json_schema<typename M::type>(schemas, bare);
      if constexpr (kRule.defaulted) {
        parameter.schema.pop_back();
        parameter.schema += ",\"default\":" + to_json(initial.*M::pointer) + "}";
      }
    }
  });
  return parameters;
}

}  // namespace holdfast::http
