// JSON Schema 2020-12 (which is OpenAPI 3.1's) of described structs, made of their description and rules.
// Named structs go into a SchemaRegistry once and are referred to by `$ref`; the rest is written inline.
//
//   SchemaRegistry schemas("#/components/schemas/");
//   std::string use = json_schema<PlaceOrder>(schemas);   // {"$ref":"#/components/schemas/PlaceOrder"}
//   for (const auto& [name, schema] : schemas.all()) …
//
// Thread-safety: one thread.
#pragma once

#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <typeinfo>

#include "holdfast/base/reflect.hpp"

namespace holdfast {

class SchemaRegistry {
 public:
  explicit SchemaRegistry(std::string prefix) : prefix_(std::move(prefix)) {}

  /// While set, structs met for the first time are written as refusing unknown members. Requests do;
  /// answers don't, so that a member can be added to them without breaking a strict client.
  void refuse_unknown(bool yes) noexcept { refuse_unknown_ = yes; }
  bool refuses_unknown() const noexcept { return refuse_unknown_; }

  /// True where `name` is new: the caller then owes define(). Throws Error(internal) where another type
  /// has that name already.
  bool reserve(const std::string& name, const std::type_info& type);
  void define(const std::string& name, std::string schema);

  std::string reference(std::string_view name) const { return prefix_ + std::string(name); }
  /// By name; each a JSON object.
  const std::map<std::string, std::string>& all() const noexcept { return schemas_; }

 private:
  std::string prefix_;
  bool refuse_unknown_ = false;
  std::map<std::string, std::string> schemas_;
  std::map<std::string, const std::type_info*> types_;
};

/// Writes the schema of T, narrowed by `rule`. `nullable`: null is allowed too.
template <class T>
void write_schema(JsonWriter& writer, SchemaRegistry& schemas, const FieldRule& rule = {},
                  bool nullable = false);

template <class T>
std::string json_schema(SchemaRegistry& schemas, const FieldRule& rule = {}) {
  std::string out;
  JsonWriter writer(out);
  write_schema<T>(writer, schemas, rule);
  return out;
}

// ---------------------------------------------------------------------------------------------------

namespace detail {

void write_schema_type(JsonWriter& writer, std::string_view type, bool nullable);
void write_text_rules(JsonWriter& writer, const FieldRule& rule);
void write_range(JsonWriter& writer, const FieldRule& rule, std::int64_t least, bool has_least,
                 std::int64_t most, bool has_most);
void write_size(JsonWriter& writer, const FieldRule& rule, std::string_view least_key,
                std::string_view most_key);
void write_documentation(JsonWriter& writer, const FieldRule& rule);
void write_text_form(JsonWriter& writer, const TextSchema& schema, bool has_example);

template <class I>
void write_integer_schema(JsonWriter& writer, const FieldRule& rule) {
  using Limits = std::numeric_limits<I>;
  constexpr bool kWide = sizeof(I) == 8;
  if constexpr (std::signed_integral<I>) {
    writer.member("format", kWide ? "int64" : "int32");
    write_range(writer, rule, Limits::min(), sizeof(I) < 4, Limits::max(), sizeof(I) < 4);
  } else {
    write_range(writer, rule, 0, true, static_cast<std::int64_t>(kWide ? 0 : Limits::max()), !kWide);
  }
}

template <Described T>
void define_struct(SchemaRegistry& schemas) {
  if (!schemas.reserve(type_name<T>(), typeid(T))) return;
  std::string out;
  JsonWriter writer(out);
  const T initial{};
  writer.begin_object().member("type", "object").key("properties").begin_object();
  for_each_member_info<T>([&](auto member) {
    using M = decltype(member);
    constexpr const FieldRule& kRule = kRuleOf<T, M::index>;
    std::string schema;
    JsonWriter inner(schema);
    write_schema<typename M::type>(inner, schemas, kRule);
    if constexpr (kRule.defaulted && !kIsOptional<typename M::type>) {
      schema.pop_back();  // the object is opened again for one more member
      if (!schema.ends_with('{')) schema.push_back(',');
      schema += "\"default\":" + to_json(initial.*M::pointer) + "}";
    }
    writer.key(M::json_name).raw(schema);
  });
  writer.end_object().key("required").begin_array();
  for_each_member_info<T>([&](auto member) {
    using M = decltype(member);
    if constexpr (!kIsOptional<typename M::type> && !kRuleOf<T, M::index>.defaulted)
      writer.value(M::json_name);
  });
  writer.end_array();
  if (schemas.refuses_unknown()) writer.member("additionalProperties", false);
  writer.end_object();
  schemas.define(type_name<T>(), std::move(out));
}

}  // namespace detail

template <class T>
void write_schema(JsonWriter& writer, SchemaRegistry& schemas, const FieldRule& rule, bool nullable) {
  if constexpr (detail::kIsOptional<T>) {
    return write_schema<typename T::value_type>(writer, schemas, rule, true);
  } else {
    writer.begin_object();
    if constexpr (std::same_as<T, bool>) {
      detail::write_schema_type(writer, "boolean", nullable);
    } else if constexpr (std::integral<T>) {
      detail::write_schema_type(writer, "integer", nullable);
      detail::write_integer_schema<T>(writer, rule);
    } else if constexpr (std::floating_point<T>) {
      detail::write_schema_type(writer, "number", nullable);
      writer.member("format", "double");
      detail::write_range(writer, rule, 0, false, 0, false);
    } else if constexpr (std::same_as<T, std::string>) {
      detail::write_schema_type(writer, "string", nullable);
      detail::write_text_rules(writer, rule);
    } else if constexpr (DescribedEnum<T>) {
      detail::write_schema_type(writer, "string", nullable);
      writer.key("enum").begin_array();
      boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>(
          [&](auto enumerator) { writer.value(std::string_view(enumerator.name)); });
      if (nullable) writer.null();
      writer.end_array();
    } else if constexpr (HasTextForm<T>) {
      detail::write_schema_type(writer, "string", nullable);
      detail::write_text_form(writer, TextForm<T>::schema, !rule.example.empty());
    } else if constexpr (detail::kIsVector<T>) {
      detail::write_schema_type(writer, "array", nullable);
      detail::write_size(writer, rule, "minItems", "maxItems");
      FieldRule of_items = rule;
      of_items.doc = of_items.example = {};
      of_items.min_size = 0;
      of_items.max_size = FieldRule::kNoMaximum;
      write_schema<typename T::value_type>(writer.key("items"), schemas, of_items);
    } else if constexpr (detail::kIsMap<T>) {
      detail::write_schema_type(writer, "object", nullable);
      detail::write_size(writer, rule, "minProperties", "maxProperties");
      FieldRule of_entries = rule;
      of_entries.doc = of_entries.example = {};
      of_entries.min_size = 0;
      of_entries.max_size = FieldRule::kNoMaximum;
      write_schema<typename T::mapped_type>(writer.key("additionalProperties"), schemas, of_entries);
    } else if constexpr (Described<T>) {
      detail::define_struct<T>(schemas);
      const std::string reference = schemas.reference(type_name<T>());
      if (nullable) {
        writer.key("anyOf").begin_array().begin_object().member("$ref", reference).end_object();
        writer.begin_object().member("type", "null").end_object().end_array();
      } else {
        writer.member("$ref", reference);
      }
    } else {
      static_assert(std::same_as<T, JsonText>,
                    "describe the type with HOLDFAST_DESCRIBE, or give it a TextForm");
    }
    detail::write_documentation(writer, rule);
    writer.end_object();
  }
}

}  // namespace holdfast
