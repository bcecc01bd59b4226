// Parses HTTP/1.x requests from bytes; knows no socket. Strict where lenient parsers have been led to
// disagree (request smuggling): a line ends with CRLF, a header has no folds and no space before its
// colon, a length is said once and one way, Host is there once. RFC 9112.
//
//   switch (parser.parse_head(input, request)) {
//     case need_more: receive more after `input` and ask again, from the same start
//     case complete:  request is filled with views into `input`; the body starts at head_bytes()
//     case refused:   parser.refusal() says why; the connection can't go on
//   }
//   const auto piece = parser.next_piece(input.substr(parser.head_bytes()));
//
// Thread-safety: none needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "holdfast/http/refusal.hpp"
#include "holdfast/http/request.hpp"

namespace holdfast::http {

struct ParserLimits {
  std::size_t max_target_bytes = 8 * 1024;
  std::size_t max_head_bytes = 32 * 1024;
  std::size_t max_headers = 100;
};

enum class Parsed : std::uint8_t { need_more, complete, refused };

class RequestParser {
 public:
  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  /// `input` begins where the request does. Its bytes may move between calls that say need_more, but
  /// must stay for as long as `request` is used once it said complete.
  Parsed parse_head(std::string_view input, Request& request);

  /// What follows holds once the head is complete.
  std::size_t head_bytes() const noexcept { return head_bytes_; }
  bool keep_alive() const noexcept;
  bool has_body() const noexcept;
  /// Empty for a chunked body.
  std::optional<std::uint64_t> content_length() const noexcept;
  bool expects_continue() const noexcept { return expects_continue_; }

  struct Piece {
    Parsed parsed = Parsed::need_more;  ///< complete: the body has ended
    std::string_view data;              ///< a part of `input`; may be empty
    std::size_t consumed = 0;           ///< of `input`; give the rest again, with more behind it
  };
  /// The next part of the body. Call until it says complete (at once where there is no body).
  Piece next_piece(std::string_view input);

  bool body_complete() const noexcept { return body_ == Body::none; }

  const Refusal& refusal() const noexcept { return refusal_; }

  /// Ready for the next request.
  void reset() noexcept;

 private:
  class Grammar;  // derives from Beast's parser, which stays out of this header
  enum class Body : std::uint8_t { none, length, chunk_size, chunk_data, chunk_end, trailers };
  struct Line {
    Parsed parsed = Parsed::need_more;
    std::string_view text;  // without its CRLF
  };
  Parsed refuse(int status, std::string_view code, std::string_view detail) noexcept;
  Parsed refuse_start() noexcept;
  Parsed refuse_long_target() noexcept;
  std::size_t max_request_line() const noexcept;
  Parsed scan(std::string_view input) noexcept;
  Line next_line(std::string_view input) noexcept;
  Parsed chunk_size(std::string_view line) noexcept;
  Parsed trailer(std::string_view line) noexcept;

  ParserLimits limits_;
  std::unique_ptr<Grammar> grammar_;
  Refusal refusal_;
  std::size_t scanned_ = 0;     // bytes of the head in which lines have been told apart
  std::size_t line_start_ = 0;  // of the line that scanned_ is in
  std::size_t lines_ = 0;
  std::size_t head_start_ = 0;  // after empty lines before the request line
  std::size_t head_bytes_ = 0;
  bool expects_continue_ = false;
  Body body_ = Body::none;  // what comes next of it
  std::uint64_t left_ = 0;  // bytes of the body, or of its present chunk
  std::size_t trailer_bytes_ = 0;
};

}  // namespace holdfast::http
