#include "holdfast/messaging/internal/headers.hpp"

#include "holdfast/base/json.hpp"

namespace holdfast::messaging {

std::string headers_json(const Headers& headers) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  for (const auto& [name, value] : headers) json.member(name, value);
  json.end_object();
  return text;
}

Headers parse_headers(const std::string& json) {
  Headers headers;
  if (json.size() <= 2) return headers;
  const JsonDocument document = JsonDocument::parse(json);
  for (const JsonMember& member : document.root().members()) {
    if (member.value.is_string()) headers.emplace(member.key, member.value.as_string());
  }
  return headers;
}

}  // namespace holdfast::messaging
