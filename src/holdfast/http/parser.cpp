#include "holdfast/http/parser.hpp"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <cstring>

namespace holdfast::http {
namespace {

namespace beast = boost::beast;
using beast::http::error;
using ErrorCondition = beast::error_code;

constexpr std::size_t kMaxEmptyLines = 2;         // before a request line (RFC 9112, 2.2)
constexpr std::size_t kMaxMethodAndVersion = 64;  // what a request line has besides its target
constexpr std::size_t kMaxChunkLine = 2 * 1024;   // a chunk's size and extensions, or a trailer
constexpr std::size_t kMaxChunkDigits = 15;       // of its size: no overflow to think about

std::string_view view(beast::string_view text) noexcept { return {text.data(), text.size()}; }

bool is_token_char(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr);
}

bool all_digits(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// host [ ":" port ], as far as characters go: enough that nobody downstream reads another one.
bool plausible_host(std::string_view text) noexcept {
  return text.size() <= 255 && std::none_of(text.begin(), text.end(), [](char c) {
           return c <= 0x20 || c >= 0x7F || std::strchr(",/\\?#@<>\"{}|^`", c) != nullptr;
         });
}

Refusal refusal_of(const ErrorCondition& ec) noexcept {
  if (ec == error::bad_version)
    return {505, "bad_http_version", "The request line must end in HTTP/1.1 or HTTP/1.0."};
  if (ec == error::bad_method)
    return {400, "bad_method", "The request line must begin with a method and one space."};
  if (ec == error::bad_target)
    return {400, "bad_target", "The request target has a character that must be escaped."};
  if (ec == error::bad_field)
    return {400, "bad_header_name", "A header's name must be a token, directly followed by a colon."};
  if (ec == error::bad_value)
    return {400, "bad_header_value", "A header's value has a control character or is malformed."};
  if (ec == error::bad_line_ending)
    return {400, "bare_carriage_return", "Lines of a request must end in CR LF."};
  if (ec == error::bad_content_length)
    return {400, "bad_content_length",
            "Content-Length must be one decimal number, and can't be with Transfer-Encoding."};
  if (ec == error::multiple_content_length)
    return {400, "two_content_lengths", "Content-Length was sent twice."};
  if (ec == error::bad_transfer_encoding)
    return {400, "ambiguous_length", "Transfer-Encoding was sent twice, or with Content-Length."};
  if (ec == error::header_limit) return {431, "head_too_large", "The request's headers are too large."};
  return {400, "malformed_request", "The request is not valid HTTP/1.1."};
}

}  // namespace

/// Fills a Request from Beast's callbacks and adds the rules Beast is lenient about. Beast reads heads
/// only: its chunk decoder aborts on "0\r\n\r" where assertions are on.
class RequestParser::Grammar final {
 public:
  explicit Grammar(const ParserLimits& limits) : limits_(limits) {}

  void begin(Request& request) {
    events_.emplace(*this);
    events_->header_limit(static_cast<std::uint32_t>(limits_.max_head_bytes + 1));
    events_->body_limit(boost::none);
    request_ = &request;
    hosts_ = lengths_ = codings_ = 0;
    expects_continue_ = false;
    refusal_ = {};
  }

  std::size_t put(std::string_view input, ErrorCondition& ec) {
    return events_->put({input.data(), input.size()}, ec);
  }
  bool keep_alive() const { return events_->keep_alive(); }
  bool chunked() const { return events_->chunked(); }
  std::optional<std::uint64_t> content_length() const {
    const auto length = events_->content_length();
    return length ? std::optional<std::uint64_t>(*length) : std::nullopt;
  }
  bool expects_continue() const noexcept { return expects_continue_; }
  const Refusal& refusal() const noexcept { return refusal_; }
  void forget() noexcept { events_.reset(); }

 private:
  struct Events final : beast::http::basic_parser<true> {
    explicit Events(Grammar& grammar) : grammar(grammar) {}
    void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target, int version,
                         ErrorCondition& ec) override {
      grammar.on_request(view(method), view(target), version, ec);
    }
    void on_response_impl(int, beast::string_view, int, ErrorCondition&) override {}
    void on_field_impl(beast::http::field field, beast::string_view name, beast::string_view value,
                       ErrorCondition& ec) override {
      grammar.on_header(field, view(name), view(value), ec);
    }
    void on_header_impl(ErrorCondition& ec) override { grammar.on_head_end(ec); }
    void on_body_init_impl(const boost::optional<std::uint64_t>&, ErrorCondition&) override {}
    std::size_t on_body_impl(beast::string_view, ErrorCondition&) override { return 0; }
    void on_chunk_header_impl(std::uint64_t, beast::string_view, ErrorCondition&) override {}
    std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view, ErrorCondition&) override { return 0; }
    void on_finish_impl(ErrorCondition&) override {}
    Grammar& grammar;
  };

  void refuse(ErrorCondition& ec, int status, std::string_view code, std::string_view detail) {
    refusal_ = {status, code, detail};
    ec = error::bad_value;  // any: refusal_ is what counts
  }

  void on_request(std::string_view method, std::string_view target, int version, ErrorCondition& ec) {
    if (target.size() > limits_.max_target_bytes)
      return refuse(ec, 414, "target_too_long", "The request target is too long.");
    request_->method = parse_method(method);
    request_->method_name = method;
    request_->http_1_1 = version == 11;
    if (!request_->set_target(target)) {
      refuse(ec, 400, "bad_target",
             "The request target must be a path without '.' and '..' segments, with valid escapes of UTF-8.");
    }
  }

  void on_header(beast::http::field field, std::string_view name, std::string_view value,
                 ErrorCondition& ec) {
    if (request_->headers.size() == limits_.max_headers) {
      return refuse(ec, 431, "too_many_headers", "The request has too many headers.");
    }
    request_->headers.push_back({name, value});
    switch (field) {
      case beast::http::field::host:
        if (++hosts_ > 1) return refuse(ec, 400, "two_hosts", "Host was sent twice.");
        if (!plausible_host(value))
          return refuse(ec, 400, "bad_host", "Host must be a host name and a port.");
        break;
      case beast::http::field::content_length:
        if (++lengths_ > 1) return refuse(ec, 400, "two_content_lengths", "Content-Length was sent twice.");
        if (!all_digits(value))
          return refuse(ec, 400, "bad_content_length", "Content-Length must be one decimal number.");
        break;
      case beast::http::field::transfer_encoding:
        if (++codings_ > 1) return refuse(ec, 400, "ambiguous_length", "Transfer-Encoding was sent twice.");
        if (!request_->http_1_1)
          return refuse(ec, 400, "bad_transfer_encoding", "HTTP/1.0 has no Transfer-Encoding.");
        if (!equal_ignoring_case(value, "chunked")) {
          return refuse(ec, 501, "unknown_transfer_coding",
                        "The only transfer coding understood is 'chunked'.");
        }
        break;
      case beast::http::field::expect:
        if (value.empty()) break;
        if (!equal_ignoring_case(value, "100-continue")) {
          return refuse(ec, 417, "unknown_expectation", "The only expectation understood is '100-continue'.");
        }
        expects_continue_ = request_->http_1_1;
        break;
      default: break;
    }
  }

  void on_head_end(ErrorCondition& ec) {
    if (lengths_ > 0 && codings_ > 0) {
      return refuse(ec, 400, "ambiguous_length", "Content-Length and Transfer-Encoding can't be together.");
    }
    if (request_->http_1_1 && hosts_ == 0) refuse(ec, 400, "no_host", "HTTP/1.1 requires a Host header.");
  }

  const ParserLimits& limits_;
  std::optional<Events> events_;  // Beast's parser can't be used twice
  Request* request_ = nullptr;
  Refusal refusal_;
  int hosts_ = 0;
  int lengths_ = 0;
  int codings_ = 0;
  bool expects_continue_ = false;
};

RequestParser::RequestParser(const ParserLimits& limits)
    : limits_(limits), grammar_(std::make_unique<Grammar>(limits_)) {}
RequestParser::~RequestParser() = default;

Parsed RequestParser::refuse(int status, std::string_view code, std::string_view detail) noexcept {
  refusal_ = {status, code, detail};
  return Parsed::refused;
}

Parsed RequestParser::refuse_start() noexcept {
  return refuse(400, "bad_method", "The request line must begin with a method and one space.");
}

Parsed RequestParser::refuse_long_target() noexcept {
  return refuse(414, "target_too_long", "The request target is too long.");
}

std::size_t RequestParser::max_request_line() const noexcept {
  return limits_.max_target_bytes + kMaxMethodAndVersion;
}

/// Tells lines apart, each byte looked at once however slowly they come: finds the head's end, and
/// refuses what Beast would wait for, unfold or let pass.
Parsed RequestParser::scan(std::string_view input) noexcept {
  while (scanned_ < input.size()) {
    const auto* const found =
        static_cast<const char*>(std::memchr(input.data() + scanned_, '\n', input.size() - scanned_));
    if (found == nullptr) {
      scanned_ = input.size();
      break;
    }
    const auto newline = static_cast<std::size_t>(found - input.data());
    if (newline == line_start_ || input[newline - 1] != '\r') {
      return refuse(400, "bare_line_feed", "Lines of a request must end in CR LF.");
    }
    const bool empty = newline == line_start_ + 1;
    const char first = input[line_start_];
    scanned_ = line_start_ = newline + 1;
    if (empty && lines_ > 0) {
      head_bytes_ = scanned_;
      return head_bytes_ > limits_.max_head_bytes
                 ? refuse(431, "head_too_large", "The request's headers are too large.")
                 : Parsed::complete;
    }
    if (empty) {
      head_start_ = scanned_;
      if (head_start_ > 2 * kMaxEmptyLines)
        return refuse(400, "bad_method", "The request begins with empty lines.");
      continue;
    }
    if (lines_ == 0 && !is_token_char(first)) return refuse_start();
    if (lines_ == 0 && newline - head_start_ > max_request_line()) return refuse_long_target();
    if (lines_ > 0 && (first == ' ' || first == '\t')) {
      return refuse(400, "folded_header", "A header must not continue on a second line.");
    }
    ++lines_;
  }
  if (lines_ == 0) {
    const std::string_view line = input.substr(head_start_);
    if (!line.empty() && line.front() != '\r' && !is_token_char(line.front())) return refuse_start();
    if (line.size() > max_request_line()) return refuse_long_target();
  }
  if (input.size() > limits_.max_head_bytes)
    return refuse(431, "head_too_large", "The request's headers are too large.");
  return Parsed::need_more;
}

Parsed RequestParser::parse_head(std::string_view input, Request& request) {
  if (const Parsed scanned = scan(input); scanned != Parsed::complete) return scanned;
  grammar_->begin(request);
  const std::string_view head = input.substr(head_start_, head_bytes_ - head_start_);
  ErrorCondition ec;
  const std::size_t used = grammar_->put(head, ec);
  if (grammar_->refusal().status != 0 && !grammar_->refusal().code.empty()) {
    refusal_ = grammar_->refusal();
    return Parsed::refused;
  }
  if (ec || used != head.size()) {
    refusal_ = refusal_of(ec);
    return Parsed::refused;
  }
  expects_continue_ = grammar_->expects_continue() && has_body();
  left_ = content_length().value_or(0);
  body_ = grammar_->chunked() ? Body::chunk_size : left_ > 0 ? Body::length : Body::none;
  return Parsed::complete;
}

bool RequestParser::keep_alive() const noexcept { return grammar_->keep_alive(); }
bool RequestParser::has_body() const noexcept {
  return grammar_->chunked() || content_length().value_or(0) > 0;
}
std::optional<std::uint64_t> RequestParser::content_length() const noexcept {
  return grammar_->content_length();
}

RequestParser::Line RequestParser::next_line(std::string_view input) noexcept {
  const std::size_t newline = input.substr(0, kMaxChunkLine).find('\n');
  if (newline == std::string_view::npos) {
    if (input.size() < kMaxChunkLine) return {};
    return {refuse(400, "bad_chunk", "A chunk's size line or a trailer is too long."), {}};
  }
  if (newline == 0 || input[newline - 1] != '\r') {
    return {refuse(400, "bad_chunk", "Lines of a chunked body must end in CR LF."), {}};
  }
  return {Parsed::complete, input.substr(0, newline - 1)};
}

/// chunk-size [ chunk-ext ] (RFC 9112, 7.1). Extensions are passed over.
Parsed RequestParser::chunk_size(std::string_view line) noexcept {
  std::size_t digits = 0;
  left_ = 0;
  for (; digits < line.size(); ++digits) {
    const char c = line[digits];
    const char lower = static_cast<char>(c | 0x20);
    if (c >= '0' && c <= '9')
      left_ = left_ * 16 + static_cast<std::uint64_t>(c - '0');
    else if (lower >= 'a' && lower <= 'f')
      left_ = left_ * 16 + static_cast<std::uint64_t>(lower - 'a' + 10);
    else
      break;
    if (digits == kMaxChunkDigits) return refuse(400, "bad_chunk", "A chunk is impossibly large.");
  }
  const std::string_view extension = line.substr(digits);
  const bool printable = std::all_of(extension.begin(), extension.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F;
  });
  if (digits == 0 || (!extension.empty() && extension.front() != ';') || !printable) {
    return refuse(400, "bad_chunk", "A chunk must begin with its size in hexadecimal digits.");
  }
  body_ = left_ > 0 ? Body::chunk_data : Body::trailers;
  return Parsed::complete;
}

/// Trailers are checked and dropped: nothing here could tell them from headers that were inspected.
Parsed RequestParser::trailer(std::string_view line) noexcept {
  if (line.empty()) {
    body_ = Body::none;
    return Parsed::complete;
  }
  trailer_bytes_ += line.size() + 2;
  if (trailer_bytes_ > limits_.max_head_bytes)
    return refuse(431, "trailers_too_large", "The trailers are too large.");
  const std::size_t colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  const bool good = colon != std::string_view::npos && colon > 0 &&
                    std::all_of(name.begin(), name.end(), is_token_char) &&
                    line.find('\r') == std::string_view::npos && line.find('\0') == std::string_view::npos;
  return good ? Parsed::complete : refuse(400, "bad_trailer", "A trailer is malformed.");
}

RequestParser::Piece RequestParser::next_piece(std::string_view input) {
  Piece piece;
  while (body_ != Body::none) {
    const std::string_view rest = input.substr(piece.consumed);
    if (body_ == Body::length || body_ == Body::chunk_data) {
      piece.data = rest.substr(0, std::min<std::uint64_t>(left_, rest.size()));
      piece.consumed += piece.data.size();
      left_ -= piece.data.size();
      if (left_ == 0) body_ = body_ == Body::length ? Body::none : Body::chunk_end;
      break;
    }
    const Line line = next_line(rest);
    if (line.parsed == Parsed::need_more) return piece;
    Parsed parsed = line.parsed;
    if (parsed == Parsed::complete && body_ == Body::chunk_end) {
      if (!line.text.empty()) parsed = refuse(400, "bad_chunk", "A chunk is longer than its size says.");
      body_ = Body::chunk_size;
    } else if (parsed == Parsed::complete) {
      parsed = body_ == Body::chunk_size ? chunk_size(line.text) : trailer(line.text);
    }
    if (parsed == Parsed::refused) {
      piece.parsed = parsed;
      return piece;
    }
    piece.consumed += line.text.size() + 2;
  }
  if (body_ == Body::none) piece.parsed = Parsed::complete;
  return piece;
}

void RequestParser::reset() noexcept {
  grammar_->forget();
  refusal_ = {};
  scanned_ = line_start_ = lines_ = head_start_ = head_bytes_ = 0;
  expects_continue_ = false;
  body_ = Body::none;
  left_ = 0;
  trailer_bytes_ = 0;
}

}  // namespace holdfast::http
