// Writes the head of a response: status line, the server's own headers, the response's headers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/http/response.hpp"

namespace holdfast::http {

struct HeadOptions {
  std::string_view common_headers;  ///< "Date: …\r\n" and the like, complete lines
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool close = false;
  bool say_keep_alive = false;  ///< to an HTTP/1.0 client that asked for it
};

/// Appends the head, the empty line included. Headers of `response` that the server owns are left out.
void append_head(std::string& out, const Response& response, const HeadOptions& options);

}  // namespace holdfast::http
