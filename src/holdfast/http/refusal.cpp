#include "holdfast/http/refusal.hpp"

#include <string>

namespace holdfast::http {
namespace {

void append_quoted(std::string& out, std::string_view text) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7E ? '?' : c);
  }
  out.push_back('"');
}

}  // namespace

Response refusal_response(int status, std::string_view code, std::string_view detail) {
  std::string body = R"({"type":"about:blank","title":)";
  append_quoted(body, reason_phrase(status));
  body.append(R"(,"status":)").append(std::to_string(status)).append(R"(,"code":)");
  append_quoted(body, code);
  body.append(R"(,"detail":)");
  append_quoted(body, detail);
  body.push_back('}');
  return Response::of(status, "application/problem+json", std::move(body));
}

}  // namespace holdfast::http
