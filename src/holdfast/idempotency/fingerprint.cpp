#include "holdfast/idempotency/fingerprint.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/base/json.hpp"

namespace holdfast::idempotency {
namespace {

/// Hashes fields so that no two lists of fields give the same bytes: each after its length.
class Fields {
 public:
  Fields& add(std::string_view field) {
    std::array<char, 8> length;
    for (std::size_t i = 0; i < length.size(); ++i) length[i] = static_cast<char>(field.size() >> (8 * i));
    hash_.update({length.data(), length.size()}).update(field);
    return *this;
  }
  Sha256Digest finish() { return hash_.finish(); }

 private:
  Sha256 hash_;
};

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// "application/json" of "Application/JSON; charset=utf-8".
std::string media_type(std::string_view content_type) {
  std::string type(trimmed(content_type.substr(0, content_type.find(';'))));
  std::ranges::transform(type, type.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return type;
}

bool is_json(std::string_view type) { return type == "application/json" || type.ends_with("+json"); }

/// Integers below 2^53 say the same whether written 1, 1.0 or 1e0.
constexpr double kExactIntegers = 9007199254740992.0;

void write_canonical(JsonWriter& out, const JsonValue& value) {
  switch (value.kind()) {
    case JsonKind::number: {
      const double number = value.as_double();
      if (std::abs(number) < kExactIntegers && number == std::trunc(number)) {
        out.value(static_cast<std::int64_t>(number));
      } else {
        out.value(number);
      }
      return;
    }
    case JsonKind::array:
      out.begin_array();
      for (const JsonValue& item : value.items()) write_canonical(out, item);
      out.end_array();
      return;
    case JsonKind::object: {
      std::vector<const JsonMember*> members;
      members.reserve(value.members().size());
      for (const JsonMember& member : value.members()) members.push_back(&member);
      std::ranges::sort(members, {}, [](const JsonMember* member) { return member->key; });
      out.begin_object();
      for (const JsonMember* member : members) {
        out.key(member->key);
        write_canonical(out, member->value);
      }
      out.end_object();
      return;
    }
    default: out.value(value);
  }
}

}  // namespace

Scope scope_of(const Principal& principal, const http::Request& request, std::string_view key) {
  const Sha256Digest whole = Fields()
                                 .add(principal.tenant)
                                 .add(principal.subject)
                                 .add(request.method_name)
                                 .add(request.route_pattern())
                                 .add(key)
                                 .finish();
  Scope scope;
  std::copy_n(whole.begin(), scope.size(), scope.begin());
  return scope;
}

std::string canonical_body(std::string_view body) {
  try {
    const JsonDocument document = JsonDocument::parse(body, {.max_bytes = body.size(), .max_depth = 64});
    std::string canonical;
    JsonWriter writer(canonical);
    write_canonical(writer, document.root());
    return canonical;
  } catch (const Error&) {
    return std::string(body);  // it says it is JSON and is not: its bytes are what it is
  }
}

Sha256Digest fingerprint_of(const http::Request& request) {
  Fields fields;
  fields.add(request.method_name).add(request.route_pattern());
  for (const http::PathParameter& parameter : request.path_parameters)
    fields.add(parameter.name).add(parameter.value);

  std::vector<http::QueryParameter> query = request.query_parameters();
  std::ranges::stable_sort(query, {}, &http::QueryParameter::name);  // of one name, the order counts
  fields.add("?");
  for (const http::QueryParameter& parameter : query) fields.add(parameter.name).add(parameter.value);

  const std::string type = media_type(request.header("Content-Type"));
  fields.add("body").add(type);
  if (is_json(type)) {
    fields.add(canonical_body(request.body));
  } else {
    fields.add(request.body);
  }
  return fields.finish();
}

}  // namespace holdfast::idempotency
