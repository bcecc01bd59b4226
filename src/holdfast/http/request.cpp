#include "holdfast/http/request.hpp"

#include <algorithm>
#include <array>

#include "holdfast/base/utf8.hpp"
#include "holdfast/http/route.hpp"

namespace holdfast::http {
namespace {

constexpr std::array<std::string_view, 7> kMethodNames = {"GET",   "HEAD",   "POST",   "PUT",
                                                          "PATCH", "DELETE", "OPTIONS"};

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool has_dot_segment(std::string_view path) noexcept {
  while (!path.empty()) {
    path.remove_prefix(1);  // the '/'
    const std::string_view segment = path.substr(0, path.find('/'));
    if (segment == "." || segment == "..") return true;
    path.remove_prefix(segment.size());
  }
  return false;
}

/// "http://host/x?y" -> "/x?y". Proxies send the absolute form; the Host header decides all the same.
std::string_view without_authority(std::string_view target) noexcept {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.size() < scheme.size() || !equal_ignoring_case(target.substr(0, scheme.size()), scheme))
      continue;
    target.remove_prefix(scheme.size());
    const std::size_t end = target.find_first_of("/?");
    if (end == std::string_view::npos) return "/";
    return target[end] == '/' ? target.substr(end) : std::string_view();
  }
  return target;
}

/// Calls `visit(name, value)`, both encoded, for each parameter until it returns false.
template <typename Visit>
void each_parameter(std::string_view query, Visit&& visit) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
    if (!visit(pair.substr(0, equals), value)) return;
  }
}

std::string decoded_query(std::string_view text) {
  std::string result;
  if (!percent_decode(text, Escaped::query, result)) {
    throw Error(ErrorCode::invalid_argument,
                "The query string has a malformed %XX escape, or one that isn't UTF-8.")
        .reason("malformed_query");
  }
  return result;
}

}  // namespace

std::string_view to_string(Method method) noexcept {
  const auto index = static_cast<std::size_t>(method);
  return index < kMethodNames.size() ? kMethodNames[index] : "?";
}

Method parse_method(std::string_view name) noexcept {
  const auto* const found = std::find(kMethodNames.begin(), kMethodNames.end(), name);
  return static_cast<Method>(found - kMethodNames.begin());
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool percent_decode(std::string_view text, Escaped where, std::string& out) {
  const std::size_t start = out.size();
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && where == Escaped::query) {
      c = ' ';
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0 || (where == Escaped::path && (byte < 0x20 || byte == 0x7F))) return false;
    out.push_back(c);
  }
  return is_valid_utf8(std::string_view(out).substr(start));
}

std::string_view Request::header(std::string_view name) const noexcept {
  for (const Header& header : headers) {
    if (equal_ignoring_case(header.name, name)) return header.value;
  }
  return {};
}

bool Request::has_header(std::string_view name) const noexcept {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const Header& header) { return equal_ignoring_case(header.name, name); });
}

std::string_view Request::path_parameter(std::string_view name) const noexcept {
  for (const PathParameter& parameter : path_parameters) {
    if (parameter.name == name) return parameter.value;
  }
  return {};
}

std::optional<std::string> Request::query(std::string_view name) const {
  std::optional<std::string> found;
  each_parameter(query_string, [&](std::string_view key, std::string_view value) {
    if (key != name && decoded_query(key) != name) return true;
    found = decoded_query(value);
    return false;
  });
  return found;
}

std::vector<QueryParameter> Request::query_parameters() const {
  std::vector<QueryParameter> all;
  each_parameter(query_string, [&](std::string_view key, std::string_view value) {
    all.push_back({decoded_query(key), decoded_query(value)});
    return true;
  });
  return all;
}

std::string_view Request::route_pattern() const noexcept {
  return route == nullptr ? std::string_view("(none)") : std::string_view(route->pattern);
}

bool Request::set_target(std::string_view text) {
  target = text;
  text = without_authority(text);
  if (text.empty()) return false;
  raw_path = text.substr(0, text.find('?'));
  query_string = text.size() > raw_path.size() ? text.substr(raw_path.size() + 1) : std::string_view();
  path = raw_path;
  if (raw_path == "*") return query_string.empty();
  if (raw_path.empty() || raw_path.front() != '/') return false;
  const bool plain = std::all_of(raw_path.begin(), raw_path.end(),
                                 [](char c) { return c > 0x20 && c < 0x7F && c != '%' && c != '#'; });
  if (!plain) {
    if (raw_path.find('#') != std::string_view::npos) return false;  // a fragment never travels
    if (!percent_decode(raw_path, Escaped::path, decoded_.emplace_front())) return false;
    path = decoded_.front();
  }
  return !has_dot_segment(path);
}

std::string_view Request::decoded(std::string_view text) {
  if (text.find('%') == std::string_view::npos) return text;
  std::string& stored = decoded_.emplace_front();
  return percent_decode(text, Escaped::path, stored) ? std::string_view(stored) : text;
}

void Request::clear() noexcept {
  method = Method::get;
  method_name = "GET";
  target = path = raw_path = "/";
  query_string = body = remote_address = {};
  http_1_1 = true;
  headers.clear();
  path_parameters.clear();
  body_reader = nullptr;
  route = nullptr;
  refusal = nullptr;
  decoded_.clear();
}

}  // namespace holdfast::http
