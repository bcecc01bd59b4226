#include "holdfast/http/internal/response_head.hpp"

#include <charconv>

#include "holdfast/http/request.hpp"

namespace holdfast::http {
namespace {

void append_number(std::string& out, std::uint64_t value) {
  char digits[20];
  const auto result = std::to_chars(std::begin(digits), std::end(digits), value);
  out.append(digits, result.ptr);
}

bool owned_by_server(std::string_view name) noexcept {
  switch (name.size()) {
    case 4: return equal_ignoring_case(name, "Date");
    case 10: return equal_ignoring_case(name, "Connection") || equal_ignoring_case(name, "Keep-Alive");
    case 14: return equal_ignoring_case(name, "Content-Length");
    case 17: return equal_ignoring_case(name, "Transfer-Encoding");
    default: return false;
  }
}

}  // namespace

void append_head(std::string& out, const Response& response, const HeadOptions& options) {
  if (response.status == 200) {
    out.append("HTTP/1.1 200 OK\r\n");
  } else {
    out.append("HTTP/1.1 ");
    append_number(out, static_cast<std::uint64_t>(response.status));
    out.append(" ").append(reason_phrase(response.status)).append("\r\n");
  }
  out.append(options.common_headers);
  for (const ResponseHeader& header : response.headers) {
    if (owned_by_server(header.name)) continue;
    out.append(header.name).append(": ").append(header.value).append("\r\n");
  }
  if (options.content_length) {
    out.append("Content-Length: ");
    append_number(out, *options.content_length);
    out.append("\r\n");
  }
  if (options.chunked) out.append("Transfer-Encoding: chunked\r\n");
  if (options.close)
    out.append("Connection: close\r\n");
  else if (options.say_keep_alive)
    out.append("Connection: keep-alive\r\n");
  out.append("\r\n");
}

}  // namespace holdfast::http
