#include "holdfast/base/json_schema.hpp"

#include <algorithm>

namespace holdfast {

bool SchemaRegistry::reserve(const std::string& name, const std::type_info& type) {
  const auto [place, is_new] = types_.try_emplace(name, &type);
  if (!is_new && *place->second != type) {
    throw Error(ErrorCode::internal, "Two described types are both called " + name + "; rename one.")
        .cause(std::string(place->second->name()) + " and " + type.name());
  }
  return is_new;
}

void SchemaRegistry::define(const std::string& name, std::string schema) {
  schemas_[name] = std::move(schema);
}

namespace detail {
namespace {

/// `characters` as the inside of an ECMA 262 class, valid in its Unicode mode.
std::string character_class(std::string_view characters) {
  std::string out;
  for (const char c : characters) {
    if (c == '\\' || c == ']' || c == '[' || c == '^') out.push_back('\\');
    out.push_back(c);
  }
  // A '-' that stands for itself is last by convention; Unicode mode wants it escaped all the same.
  if (out.ends_with('-')) out.insert(out.size() - 1, "\\");
  return out;
}

}  // namespace

void write_schema_type(JsonWriter& writer, std::string_view type, bool nullable) {
  writer.key("type");
  if (!nullable) {
    writer.value(type);
    return;
  }
  writer.begin_array().value(type).value("null").end_array();
}

void write_text_rules(JsonWriter& writer, const FieldRule& rule) {
  if (rule.min_length != 0) writer.member("minLength", rule.min_length);
  if (rule.max_length != FieldRule::kNoMaximum) writer.member("maxLength", rule.max_length);
  if (!rule.allowed_chars.empty()) {
    writer.member("pattern", "^[" + character_class(rule.allowed_chars) + "]*$");
  } else if (rule.printable) {
    writer.member("pattern", "^[^\\u0000-\\u001f\\u007f-\\u009f]*$");
  }
  if (rule.choice_count != 0) {
    writer.key("enum").begin_array();
    for (std::size_t i = 0; i < rule.choice_count; ++i) writer.value(rule.choices[i]);
    writer.end_array();
  }
}

void write_range(JsonWriter& writer, const FieldRule& rule, std::int64_t least, bool has_least,
                 std::int64_t most, bool has_most) {
  if (rule.minimum != FieldRule::kLowest) {
    least = has_least ? std::max(least, rule.minimum) : rule.minimum;
    has_least = true;
  }
  if (rule.maximum != FieldRule::kHighest) {
    most = has_most ? std::min(most, rule.maximum) : rule.maximum;
    has_most = true;
  }
  if (has_least) writer.member("minimum", least);
  if (has_most) writer.member("maximum", most);
}

void write_size(JsonWriter& writer, const FieldRule& rule, std::string_view least_key,
                std::string_view most_key) {
  if (rule.min_size != 0) writer.member(least_key, rule.min_size);
  if (rule.max_size != FieldRule::kNoMaximum) writer.member(most_key, rule.max_size);
}

void write_documentation(JsonWriter& writer, const FieldRule& rule) {
  if (!rule.doc.empty()) writer.member("description", rule.doc);
  if (!rule.example.empty()) writer.key("examples").begin_array().raw(rule.example).end_array();
}

void write_text_form(JsonWriter& writer, const TextSchema& schema, bool has_example) {
  if (!schema.format.empty()) writer.member("format", schema.format);
  if (!schema.pattern.empty()) writer.member("pattern", schema.pattern);
  if (!has_example && !schema.example.empty()) {
    writer.key("examples").begin_array().value(schema.example).end_array();
  }
}

}  // namespace detail
}  // namespace holdfast
