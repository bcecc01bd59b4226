#include "paysim/form.hpp"

#include <algorithm>
#include <charconv>

#include "holdfast/http/request.hpp"
#include "paysim/api_error.hpp"

namespace holdfast::paysim {
namespace {

std::string decoded(std::string_view text, std::size_t max_bytes, const char* what) {
  std::string out;
  if (!http::percent_decode(text, http::Escaped::query, out))
    throw ApiError::bad_request("", "The form has a malformed escape, or text that is not UTF-8.");
  if (out.size() > max_bytes)
    throw ApiError::bad_request("", std::string("A ") + what + " of the form is longer than " +
                                        std::to_string(max_bytes) + " bytes.");
  return out;
}

}  // namespace

Form Form::parse(std::string_view text) {
  Form form;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) continue;
    if (form.fields_.size() == kMaxPairs)
      throw ApiError::bad_request("", "The form has more than " + std::to_string(kMaxPairs) + " fields.");
    const std::size_t equals = std::min(pair.find('='), pair.size());
    std::string name = decoded(pair.substr(0, equals), kMaxNameBytes, "name");
    std::string value = decoded(pair.substr(std::min(equals + 1, pair.size())), kMaxValueBytes, "value");
    if (name.empty()) throw ApiError::bad_request("", "The form has a value without a name.");
    form.fields_.push_back({std::move(name), std::move(value)});
  }
  std::vector<std::string_view> names;
  for (const Field& field : form.fields_) {
    if (!field.name.ends_with("[]")) names.push_back(field.name);
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    throw ApiError::bad_request(*twice, "The form says " + std::string(*twice) + " more than once.");
  return form;
}

const Form::Field* Form::find(std::string_view name) const {
  for (const Field& field : fields_) {
    if (field.name == name) {
      field.known = true;
      return &field;
    }
  }
  return nullptr;
}

std::optional<std::string> Form::text(std::string_view name) const {
  const Field* field = find(name);
  if (field == nullptr) return std::nullopt;
  return field->value;
}

std::optional<std::int64_t> Form::integer(std::string_view name) const {
  const Field* field = find(name);
  if (field == nullptr) return std::nullopt;
  std::int64_t value = 0;
  const char* end = field->value.data() + field->value.size();
  const auto read = std::from_chars(field->value.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end)
    throw ApiError::bad_request(name, "Invalid integer: " + field->value, "parameter_invalid_integer");
  return value;
}

std::optional<bool> Form::boolean(std::string_view name) const {
  const Field* field = find(name);
  if (field == nullptr) return std::nullopt;
  if (field->value != "true" && field->value != "false")
    throw ApiError::bad_request(name, "Invalid boolean: " + field->value);
  return field->value == "true";
}

Form::Pairs Form::map(std::string_view name) const {
  Pairs pairs;
  for (const Field& field : fields_) {
    std::string_view key = field.name;
    if (!key.starts_with(name) || key.size() <= name.size() || key[name.size()] != '[') continue;
    key.remove_prefix(name.size() + 1);
    const std::size_t end = key.find(']');
    if (end == std::string_view::npos || end == 0 || end + 1 != key.size())
      throw ApiError::bad_request(field.name, "Received a nested or malformed name: " + field.name);
    field.known = true;
    pairs.emplace_back(key.substr(0, end), field.value);
  }
  return pairs;
}

void Form::ignore(std::string_view prefix) const {
  for (const Field& field : fields_) {
    const std::string_view name = field.name;
    if (name == prefix || (name.starts_with(prefix) && name[prefix.size()] == '[')) field.known = true;
  }
}

void Form::refuse_unknown() const {
  for (const Field& field : fields_) {
    if (!field.known)
      throw ApiError::bad_request(field.name, "Received unknown parameter: " + field.name,
                                  "parameter_unknown");
  }
}

std::string Form::canonical() const {
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  for (const Field& field : fields_) pairs.emplace_back(field.name, field.value);
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string out;
  for (const auto& [name, value] : pairs) {
    // Lengths first, so that no two forms share a text.
    out.append(std::to_string(name.size())).append(":").append(name);
    out.append(std::to_string(value.size())).append(":").append(value);
  }
  return out;
}

}  // namespace holdfast::paysim
