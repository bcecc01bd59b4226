#include "holdfast/http/parser.hpp"

#include <gtest/gtest.h>

#include <string>

namespace holdfast::http {
namespace {

struct Outcome {
  Parsed parsed = Parsed::need_more;
  std::string code;
  int status = 0;
  std::string body;
  std::size_t used = 0;
};

/// Parses `input` given in steps of `step` bytes: how bytes are cut must not matter.
Outcome parse(const std::string& input, std::size_t step, const ParserLimits& limits = {}) {
  RequestParser parser(limits);
  Request request;
  Outcome outcome;
  const auto refused = [&] {
    outcome.parsed = Parsed::refused;
    outcome.code = parser.refusal().code;
    outcome.status = parser.refusal().status;
    return outcome;
  };
  std::size_t have = 0;
  for (;;) {
    const Parsed parsed = parser.parse_head({input.data(), have}, request);
    if (parsed == Parsed::refused) return refused();
    if (parsed == Parsed::complete) break;
    if (have == input.size()) return outcome;
    have = std::min(input.size(), have + step);
  }
  std::size_t at = parser.head_bytes();
  for (;;) {
    const RequestParser::Piece piece = parser.next_piece({input.data() + at, have - at});
    at += piece.consumed;
    outcome.body.append(piece.data);
    if (piece.parsed == Parsed::refused) return refused();
    if (piece.parsed == Parsed::complete) break;
    if (piece.consumed > 0) continue;
    if (have == input.size()) return outcome;
    have = std::min(input.size(), have + step);
  }
  outcome.parsed = Parsed::complete;
  outcome.used = at;
  return outcome;
}

const std::string kGet = "GET / HTTP/1.1\r\nHost: x\r\n";
const std::string kPost = "POST / HTTP/1.1\r\nHost: x\r\n";

struct Malformed {
  const char* what;
  std::string bytes;
  int status;
  const char* code;
};

const Malformed kMalformed[] = {
    {"length and coding", kPost + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
     "ambiguous_length"},
    {"coding and length", kPost + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400,
     "bad_content_length"},
    {"two lengths", kPost + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "two_content_lengths"},
    {"two equal lengths", kPost + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400,
     "two_content_lengths"},
    {"list of lengths", kPost + "Content-Length: 3, 3\r\n\r\nabc", 400, "bad_content_length"},
    {"signed length", kPost + "Content-Length: +3\r\n\r\nabc", 400, "bad_content_length"},
    {"hex length", kPost + "Content-Length: 0x3\r\n\r\nabc", 400, "bad_content_length"},
    {"huge length", kPost + "Content-Length: 99999999999999999999\r\n\r\nabc", 400, "bad_content_length"},
    {"empty length", kPost + "Content-Length:\r\n\r\nabc", 400, "bad_content_length"},
    {"unknown coding", kPost + "Transfer-Encoding: gzip\r\n\r\n", 501, "unknown_transfer_coding"},
    {"coding list", kPost + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "unknown_transfer_coding"},
    {"obscured coding",
     kPost + "Transfer-Encoding: \x0b"
             "chunked\r\n\r\n",
     400, "bad_header_value"},
    {"identity coding", kPost + "Transfer-Encoding: identity\r\n\r\n", 501, "unknown_transfer_coding"},
    {"two codings", kPost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
     "ambiguous_length"},
    {"coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_transfer_encoding"},
    {"space before colon", kPost + "Content-Length : 3\r\n\r\nabc", 400, "bad_header_name"},
    {"space in name", kPost + "Content Length: 3\r\n\r\nabc", 400, "bad_header_name"},
    {"empty name", kPost + ": 3\r\n\r\nabc", 400, "bad_header_name"},
    {"folded header", kGet + "X: a\r\n b\r\n\r\n", 400, "folded_header"},
    {"folded by a tab", kGet + "X: a\r\n\tb\r\n\r\n", 400, "folded_header"},
    {"fold after request line", "GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, "folded_header"},
    {"bare LF after request line", "GET / HTTP/1.1\nHost: x\r\n\r\n", 400, "bare_line_feed"},
    {"bare LF in headers", kGet + "X: a\nY: b\r\n\r\n", 400, "bare_line_feed"},
    {"bare LF at the end", kGet + "\n", 400, "bare_line_feed"},
    {"bare CR in a value", kGet + "X: a\rb\r\n\r\n", 400, "bare_carriage_return"},
    {"NUL in a value", kGet + std::string("X: a\0b\r\n\r\n", 10), 400, "bad_header_value"},
    {"no host", "GET / HTTP/1.1\r\n\r\n", 400, "no_host"},
    {"two hosts", kGet + "Host: x\r\n\r\n", 400, "two_hosts"},
    {"host with a path", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n", 400, "bad_host"},
    {"host list", "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n", 400, "bad_host"},
    {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "bad_http_version"},
    {"HTTP/0.9", "GET /\r\n\r\n", 400, "bad_target"},
    {"HTTP/1.2", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505, "bad_http_version"},
    {"lower-case version", "GET / http/1.1\r\nHost: x\r\n\r\n", 505, "bad_http_version"},
    {"two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_target"},
    {"space at the front", " GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_method"},
    {"TLS", std::string("\x16\x03\x01\x02\x00\x01", 6), 400, "bad_method"},
    {"dots", "GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_target"},
    {"bad escape", "GET /%GG HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_target"},
    {"empty lines", "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bad_method"},
    {"unknown expectation", kPost + "Expect: miracles\r\n\r\n", 417, "unknown_expectation"},
    {"chunk without size", kPost + "Transfer-Encoding: chunked\r\n\r\n\r\nabc\r\n", 400, "bad_chunk"},
    {"chunk size that isn't hex", kPost + "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n", 400,
     "bad_chunk"},
    {"negative chunk size", kPost + "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n", 400, "bad_chunk"},
    {"0x chunk size", kPost + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400, "bad_chunk"},
    {"huge chunk size", kPost + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nabc\r\n", 400,
     "bad_chunk"},
    {"chunk longer than its size", kPost + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400,
     "bad_chunk"},
    {"bare LF after chunk size", kPost + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400,
     "bad_chunk"},
};

TEST(RequestParser, RefusesWhatTwoParsersCouldReadDifferently) {
  for (const Malformed& malformed : kMalformed) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, malformed.bytes.size()}) {
      const Outcome outcome = parse(malformed.bytes, step);
      EXPECT_EQ(outcome.parsed, Parsed::refused) << malformed.what << ", step " << step;
      EXPECT_EQ(outcome.code, malformed.code) << malformed.what << ", step " << step;
      EXPECT_EQ(outcome.status, malformed.status) << malformed.what << ", step " << step;
    }
  }
}

TEST(RequestParser, TakesWhatIsValid) {
  const std::pair<std::string, std::string> valid[] = {
      {kGet + "\r\n", ""},
      {"\r\n" + kGet + "\r\n", ""},
      {"GET / HTTP/1.0\r\n\r\n", ""},
      {"GET /a%20b?x=y HTTP/1.1\r\nhost: [::1]:8080\r\nX:\r\nY: \t a b \t\r\n\r\n", ""},
      {kPost + "Content-Length: 5\r\n\r\nhello", "hello"},
      {kPost + "Content-Length: 0\r\n\r\n", ""},
      {kPost +
           "transfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n6;x=\"y\"\r\n world\r\n0\r\nTrailer: t\r\n\r\n",
       "hello world"},
      {kPost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
  };
  for (const auto& [bytes, body] : valid) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
      const Outcome outcome = parse(bytes, step);
      EXPECT_EQ(outcome.parsed, Parsed::complete) << bytes << outcome.code << " step " << step;
      EXPECT_EQ(outcome.body, body) << bytes << " step " << step;
      EXPECT_EQ(outcome.used, bytes.size()) << bytes;
    }
  }
}

TEST(RequestParser, KeepsItsLimits) {
  const ParserLimits limits{.max_target_bytes = 100, .max_head_bytes = 1000, .max_headers = 5};
  const auto code = [&](const std::string& bytes) { return parse(bytes, 64, limits).code; };
  EXPECT_EQ(code("GET /" + std::string(99, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n"), "");
  EXPECT_EQ(code("GET /" + std::string(100, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n"), "target_too_long");
  EXPECT_EQ(code("GET /" + std::string(5000, 'a')), "target_too_long") << "before its line has ended";
  EXPECT_EQ(code(kGet + "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n"), "");
  EXPECT_EQ(code(kGet + "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n\r\n"), "too_many_headers");
  EXPECT_EQ(code(kGet + "A: " + std::string(1000, 'a') + "\r\n\r\n"), "head_too_large");
  EXPECT_EQ(code(kGet + "A: " + std::string(5000, 'a')), "head_too_large") << "before it has ended";
}

TEST(RequestParser, FillsTheRequest) {
  const std::string bytes =
      "PUT /v1/x?q=1 HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-one: 2\r\nExpect: 100-continue\r\nContent-Length: "
      "1\r\n\r\n";
  RequestParser parser({});
  Request request;
  ASSERT_EQ(parser.parse_head(bytes, request), Parsed::complete);
  EXPECT_EQ(request.method, Method::put);
  EXPECT_EQ(request.target, "/v1/x?q=1");
  EXPECT_EQ(request.path, "/v1/x");
  EXPECT_EQ(request.header("X-ONE"), "1");
  EXPECT_EQ(request.headers.size(), 5U);
  EXPECT_TRUE(parser.expects_continue());
  EXPECT_TRUE(parser.keep_alive());
  EXPECT_EQ(parser.content_length(), 1U);
}

}  // namespace
}  // namespace holdfast::http
