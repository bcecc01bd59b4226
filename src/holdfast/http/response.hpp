// An HTTP response: status, headers, and a body that is either a string or a function that writes it
// piece by piece (exports, server-sent events).
//
//   return Response::json(201, body).set("Location", "/v1/orders/" + id);
//   return Response::streamed(200, "text/csv", [&](const Context& ctx, BodyWriter& out) { ... });
//
// The server adds Date, Content-Length or Transfer-Encoding, and Connection; don't set those.
// Thread-safety: a value.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/runtime/context.hpp"

namespace holdfast::http {

/// Writes a streamed body. Chunked in HTTP/1.1; ended by the close of the connection in 1.0.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;

  /// Appends a piece; sends when enough has come together. Waits while the client is slower than we
  /// are (backpressure). Throws Error(cancelled) when the client has gone, Error(deadline_exceeded).
  virtual void write(const Context& ctx, std::string_view piece) = 0;

  /// Sends what write() has kept back.
  virtual void flush(const Context& ctx) = 0;

  /// The server wants to stop: an endless stream should end now. Its Context is cancelled too if the
  /// response says `endless`.
  virtual bool stopping() const noexcept = 0;
};

struct ResponseHeader {
  std::string name;
  std::string value;
};

class Response {
 public:
  using Stream = std::function<void(const Context&, BodyWriter&)>;

  int status = 200;
  std::vector<ResponseHeader> headers;
  std::string body;
  /// Where set, `body` is not sent. Runs on the request's fiber after the middlewares have returned,
  /// under the Context they were called with. What it captures must live until then: capture values.
  Stream stream;
  /// A stream without an end of its own (SSE): no deadline, and cancelled when the server drains.
  bool endless = false;
  /// Close the connection after this response.
  bool close = false;
  /// Nothing of this response is sent: the connection is closed at once, as by a process that died.
  /// For simulators and for clients that deserve no answer.
  bool drop_connection = false;

  Response() = default;
  explicit Response(int status) : status(status) {}

  static Response json(int status, std::string body);
  static Response text(int status, std::string body);  ///< text/plain; charset=utf-8
  static Response html(int status, std::string body);
  static Response of(int status, std::string_view content_type, std::string body);
  static Response streamed(int status, std::string_view content_type, Stream stream);
  static Response dropped();  ///< see drop_connection

  /// Sets a header, replacing those of that name. Carriage returns and line feeds in `value` become
  /// spaces: a value can't end a header.
  Response& set(std::string_view name, std::string_view value) &;
  Response&& set(std::string_view name, std::string_view value) &&;
  /// Adds one more of that name.
  Response& add(std::string_view name, std::string_view value) &;
  /// Adds `token` to a comma-separated header unless it is there: for Vary.
  Response& add_token(std::string_view name, std::string_view token) &;
  void remove(std::string_view name);

  /// The first value of that header; empty where there is none.
  std::string_view header(std::string_view name) const noexcept;
  bool has_header(std::string_view name) const noexcept;

  std::string_view content_type() const noexcept { return header("Content-Type"); }
};

/// "Not Found" for 404; "Unknown" for a status that has no registered phrase.
std::string_view reason_phrase(int status) noexcept;

/// Whether a response of this status never has a body (1xx, 204, 304).
constexpr bool bodyless(int status) noexcept { return status < 200 || status == 204 || status == 304; }

}  // namespace holdfast::http
