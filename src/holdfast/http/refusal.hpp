// A refusal that HTTP itself asks for (malformed, too long, wrong method): a status that no ErrorCode
// stands for, a stable code, a sentence. Rendered as a problem (RFC 9457) like everything else.
#pragma once

#include <string_view>

#include "holdfast/http/response.hpp"

namespace holdfast::http {

struct Refusal {
  int status = 400;
  std::string_view code;    ///< stable, snake_case: "bare_line_feed"; static storage
  std::string_view detail;  ///< a sentence; static storage
};

/// {"type":"about:blank","title":…,"status":…,"code":…,"detail":…} as application/problem+json.
Response refusal_response(int status, std::string_view code, std::string_view detail);
inline Response refusal_response(const Refusal& refusal) {
  return refusal_response(refusal.status, refusal.code, refusal.detail);
}

}  // namespace holdfast::http
