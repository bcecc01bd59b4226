// Bodies that pass through a connection piece by piece, on the request's fiber.
#pragma once

#include <string>
#include <string_view>

#include "holdfast/http/request.hpp"
#include "holdfast/http/response.hpp"

namespace holdfast::http {

class Connection;

/// Pulls the request's body out of the connection as the handler asks for it: a slow handler slows
/// the client down.
class StreamReader final : public BodyReader {
 public:
  explicit StreamReader(Connection& connection) : connection_(connection) {}
  std::string_view read(const Context& ctx) override;

 private:
  Connection& connection_;
};

/// Pushes a response's body into the connection; holds back up to kPieceBytes. The head is written
/// with the first piece, so that a failure before it can still become another answer.
class StreamWriter final : public BodyWriter {
 public:
  static constexpr std::size_t kPieceBytes = 16 * 1024;

  StreamWriter(Connection& connection, const Response& response, bool closing);

  void write(const Context& ctx, std::string_view piece) override;
  void flush(const Context& ctx) override;
  bool stopping() const noexcept override;

  void finish(const Context& ctx);
  bool begun() const noexcept { return begun_; }

 private:
  void frame();
  void send(const Context& ctx);

  Connection& connection_;
  const Response& response_;
  const bool closing_;
  const bool chunked_;
  bool begun_ = false;
  std::string held_;
};

}  // namespace holdfast::http
