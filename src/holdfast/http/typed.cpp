#include "holdfast/http/typed.hpp"

#include <algorithm>

namespace holdfast::http::binding {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Of the parameters of a media type only charset=utf-8 is let pass: JSON has no other (RFC 8259, 8.1).
bool parameters_are_harmless(std::string_view parameters) {
  parameters = trim(parameters);
  return parameters.empty() || equal_ignoring_case(parameters, "charset=utf-8") ||
         equal_ignoring_case(parameters, "charset=\"utf-8\"");
}

std::vector<std::string_view> pattern_parameters(std::string_view pattern) {
  std::vector<std::string_view> names;
  for (std::size_t open = pattern.find('{'); open != std::string_view::npos;
       open = pattern.find('{', open + 1)) {
    const std::size_t close = std::min(pattern.find('}', open), pattern.size());
    std::string_view name = pattern.substr(open + 1, close - open - 1);
    if (name.ends_with("...")) name.remove_suffix(3);
    names.push_back(name);
  }
  return names;
}

}  // namespace

void require_uncoded(const Request& request) {
  const std::string_view coding = request.header("Content-Encoding");
  if (coding.empty() || equal_ignoring_case(coding, "identity")) return;
  throw HttpError(415, "unsupported_content_coding", "The body must be sent without a Content-Encoding.");
}

void require_json(const Request& request, bool merge_patch) {
  require_uncoded(request);
  const std::string_view given = request.header("Content-Type");
  const std::size_t semicolon = std::min(given.find(';'), given.size());
  const std::string_view type = trim(given.substr(0, semicolon));
  const bool known = equal_ignoring_case(type, "application/json") ||
                     (merge_patch && equal_ignoring_case(type, "application/merge-patch+json"));
  const std::string_view parameters =
      semicolon < given.size() ? given.substr(semicolon + 1) : std::string_view();
  if (known && parameters_are_harmless(parameters)) return;
  throw HttpError(
      415, "unsupported_media_type",
      merge_patch
          ? "The body must be application/json or application/merge-patch+json; say so in Content-Type."
          : "The body must be application/json; say so in Content-Type.");
}

JsonDocument parse_body(const Request& request) {
  // The server has limited the bytes already, by the route's own measure.
  return JsonDocument::parse(request.body, {.max_bytes = request.body.size()});
}

void require_same_parameters(std::string_view pattern, const std::vector<std::string_view>& names) {
  std::vector<std::string_view> in_pattern = pattern_parameters(pattern);
  std::vector<std::string_view> in_struct = names;
  std::sort(in_pattern.begin(), in_pattern.end());
  std::sort(in_struct.begin(), in_struct.end());
  if (in_pattern == in_struct) return;
  throw Error(ErrorCode::invalid_argument, "The parameters of the pattern " + std::string(pattern) +
                                               " are not the members of the handler's Path.");
}

}  // namespace holdfast::http::binding
