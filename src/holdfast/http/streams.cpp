#include "holdfast/http/internal/streams.hpp"

#include <charconv>

#include "holdfast/http/internal/connection.hpp"
#include "holdfast/http/internal/response_head.hpp"
#include "holdfast/http/internal/shard.hpp"

namespace holdfast::http {
namespace {

[[noreturn]] void client_gone() {
  throw Error(ErrorCode::cancelled, "The client has gone.").reason("client_gone");
}

}  // namespace

std::string_view StreamReader::read(const Context& ctx) {
  Connection& c = connection_;
  Exchange& x = *c.exchange_;
  for (;;) {
    if (c.phase_ == Connection::Phase::closed) client_gone();
    const RequestParser::Piece piece = x.parser.next_piece(x.in.from_at());
    x.in.at += piece.consumed;
    if (piece.parsed == Parsed::refused) {
      throw Error(ErrorCode::invalid_argument, std::string(x.parser.refusal().detail))
          .reason("malformed_body");
    }
    x.body_bytes += piece.data.size();
    if (x.body_bytes > x.max_body_bytes) {
      throw Error(ErrorCode::too_large, "The request's body is larger than the " +
                                            std::to_string(x.max_body_bytes) + " bytes this path takes.")
          .reason("body_too_large");
    }
    if (!piece.data.empty()) return piece.data;
    if (piece.parsed == Parsed::complete) return {};
    if (piece.consumed > 0) continue;

    if (x.parser.expects_continue() && !c.continue_sent_ && x.in.from_at().empty()) {
      c.continue_sent_ = true;
      x.out.append("HTTP/1.1 100 Continue\r\n\r\n");
      if (!c.flush() && c.phase_ == Connection::Phase::closed) client_gone();
    }
    if (x.in.room() == 0) x.in.compact(x.in.begin + x.parser.head_bytes());
    if (x.in.room() == 0)
      throw Error(ErrorCode::invalid_argument, "A chunk's head is too long.").reason("malformed_body");
    if (!c.readable_) {
      if (!c.wait_ready(ctx, c.shard_.options.limits.body_rate_window, "http request body")) {
        throw Error(ErrorCode::deadline_exceeded, "The request's body arrives too slowly.")
            .reason("body_too_slow");
      }
      continue;
    }
    if (c.receive() == Connection::Received::ended) client_gone();
  }
}

StreamWriter::StreamWriter(Connection& connection, const Response& response, bool closing)
    : connection_(connection),
      response_(response),
      closing_(closing),
      chunked_(connection.exchange_->request.http_1_1) {}

void StreamWriter::write(const Context& ctx, std::string_view piece) {
  held_.append(piece);
  if (held_.size() >= kPieceBytes) flush(ctx);
}

void StreamWriter::flush(const Context& ctx) {
  frame();
  send(ctx);
}

bool StreamWriter::stopping() const noexcept { return connection_.shard_.draining(); }

/// Moves what is held to the output, as one chunk.
void StreamWriter::frame() {
  Exchange& x = *connection_.exchange_;
  if (!begun_) {
    begun_ = true;
    if (!x.tail.empty()) {
      x.out.append(x.tail);
      x.tail.clear();
    }
    append_head(
        x.out, response_,
        {.common_headers = connection_.shard_.common_headers(), .chunked = chunked_, .close = closing_});
  }
  if (held_.empty()) return;
  if (chunked_) {
    char digits[16];
    const auto result = std::to_chars(std::begin(digits), std::end(digits), held_.size(), 16);
    x.out.append(digits, result.ptr).append("\r\n").append(held_).append("\r\n");
  } else {
    x.out.append(held_);
  }
  held_.clear();
}

void StreamWriter::send(const Context& ctx) {
  Connection& c = connection_;
  const Duration limit = c.shard_.options.limits.write_timeout;
  while (c.phase_ != Connection::Phase::closed && c.exchange_->has_output()) {
    if (c.flush() || c.phase_ == Connection::Phase::closed) break;
    if (!c.wait_ready(ctx, limit, "http response body")) c.close();
  }
  if (c.phase_ == Connection::Phase::closed) client_gone();
  if (ctx.cancelled() && !stopping()) client_gone();
}

void StreamWriter::finish(const Context&) {
  frame();
  if (chunked_) connection_.exchange_->out.append("0\r\n\r\n");  // sent with whatever comes next
}

}  // namespace holdfast::http
