// An HTTP request as a handler sees it. Everything in it is a view into the connection's buffer and is
// valid until the handler returns; copy what must live longer.
//
//   const std::string_view id = request.path_parameter("id");       // decoded
//   const std::optional<std::string> limit = request.query("limit"); // decoded
//   if (request.header("If-Match") == etag) ...                      // names are case-insensitive
//
// In a test, fill one by hand: `Request r; r.method = Method::post; r.set_target("/v1/x?y=1"); r.body =
// "{}";` Thread-safety: belongs to the fiber that serves it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/runtime/context.hpp"

namespace holdfast::http {

struct Route;

/// `other` is any token that is none of these; Request::method_name has it.
enum class Method : std::uint8_t { get, head, post, put, patch, delete_, options, other };

/// "GET" … ; "?" for `other`.
std::string_view to_string(Method method) noexcept;
/// Methods are case-sensitive (RFC 9110, 9.1): "get" is `other`.
Method parse_method(std::string_view name) noexcept;

struct Header {
  std::string_view name;
  std::string_view value;
};

struct PathParameter {
  std::string_view name;   ///< as in the pattern
  std::string_view value;  ///< percent-decoded
};

struct QueryParameter {
  std::string name;
  std::string value;
};

/// ASCII case-insensitive, as field names compare.
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

enum class Escaped : std::uint8_t { path, query };

/// Appends `text` with %XX decoded (and '+' as a space in a query). False, with `out` unspecified,
/// where an escape is malformed or the result isn't UTF-8 or has a NUL; in a path: any control character.
[[nodiscard]] bool percent_decode(std::string_view text, Escaped where, std::string& out);

/// A body that is pulled piece by piece: for routes with RouteInfo::streaming_body.
class BodyReader {
 public:
  virtual ~BodyReader() = default;

  /// The next piece, valid until the next call; empty at the end. Waits for the client.
  /// Throws Error(cancelled) when the client has gone, Error(deadline_exceeded), Error(too_large) past
  /// the route's max_body_bytes, Error(invalid_argument) where the chunked coding is malformed.
  virtual std::string_view read(const Context& ctx) = 0;
};

class Request {
 public:
  Method method = Method::get;
  std::string_view method_name = "GET";
  std::string_view target = "/";      ///< as sent
  std::string_view path = "/";        ///< percent-decoded, without the query
  std::string_view raw_path = "/";    ///< as sent, without the query
  std::string_view query_string;      ///< as sent, without the '?'
  bool http_1_1 = true;               ///< false: HTTP/1.0
  std::vector<Header> headers;        ///< in the order sent, duplicates kept
  std::string_view body;              ///< all of it; empty on streaming routes
  BodyReader* body_reader = nullptr;  ///< set on streaming routes only
  std::vector<PathParameter> path_parameters;
  std::string_view remote_address;  ///< the peer's IP address, without the port
  const Route* route = nullptr;     ///< null where none matched
  const Error* refusal = nullptr;   ///< decided before the handler: thrown in its place, see Router::refuse()

  /// The first value of that header; empty where there is none.
  std::string_view header(std::string_view name) const noexcept;
  /// Tells an absent header from an empty one.
  bool has_header(std::string_view name) const noexcept;

  /// Empty where the route's pattern has no such parameter.
  std::string_view path_parameter(std::string_view name) const noexcept;

  /// The first such parameter of the query string, decoded ('+' is a space).
  /// Throws Error(invalid_argument) where the query string is malformed.
  std::optional<std::string> query(std::string_view name) const;
  /// All of them in the order sent. Throws as query().
  std::vector<QueryParameter> query_parameters() const;

  /// "/v1/orders/{id}": what metrics and logs group by. "(none)" where no route matched.
  std::string_view route_pattern() const noexcept;

  /// Sets target, path, raw_path and query_string. `text` must outlive the request. False (nothing
  /// promised of the fields) where it is malformed: bad escapes, control characters, "." or ".."
  /// segments, no leading '/'. Takes the absolute form ("http://host/x") and "*" too.
  [[nodiscard]] bool set_target(std::string_view text);

  /// A view of `text` percent-decoded, stored in the request where it differs from `text`.
  /// Only for text of raw_path, which has been checked.
  std::string_view decoded(std::string_view text);

  /// Makes it fresh for the next request on the same memory.
  void clear() noexcept;

 private:
  std::forward_list<std::string> decoded_;  // owns what had escapes; a list: views into it must stay
};

}  // namespace holdfast::http
