// Feeds arbitrary bytes to the request parser, cut in two ways. Cuts must not change what is read, and
// nothing may be read outside of the input.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "holdfast/http/parser.hpp"

namespace {

using namespace holdfast::http;

struct Read {
  Parsed parsed = Parsed::need_more;
  std::string code;
  std::string target;
  std::size_t headers = 0;
  std::string body;
  bool operator==(const Read&) const = default;
};

Read read(std::string_view input, std::size_t step) {
  RequestParser parser({.max_target_bytes = 256, .max_head_bytes = 4096, .max_headers = 20});
  Request request;
  Read result;
  const auto refused = [&] {
    result.parsed = Parsed::refused;
    result.code = parser.refusal().code;
    if (result.code.empty()) std::abort();
    return result;
  };
  std::size_t have = 0;
  for (;;) {
    const Parsed parsed = parser.parse_head(input.substr(0, have), request);
    if (parsed == Parsed::refused) return refused();
    if (parsed == Parsed::complete) break;
    if (have == input.size()) return result;
    have = std::min(input.size(), have + step);
  }
  result.target = request.target;
  result.headers = request.headers.size();
  for (const Header& header : request.headers) {
    if (header.name.empty() || header.value.find('\n') != std::string_view::npos) std::abort();
  }
  static_cast<void>(parser.keep_alive());
  std::size_t at = parser.head_bytes();
  for (;;) {
    const RequestParser::Piece piece = parser.next_piece(input.substr(at, have - at));
    if (piece.consumed > have - at) std::abort();
    at += piece.consumed;
    result.body.append(piece.data);
    if (piece.parsed == Parsed::refused) return refused();
    if (piece.parsed == Parsed::complete) break;
    if (piece.consumed > 0) continue;
    if (have == input.size()) return result;
    have = std::min(input.size(), have + step);
  }
  result.parsed = Parsed::complete;
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const Read whole = read(input, size + 1);
  const Read cut = read(input, 1);
  // Where something is refused, how much was told before may differ; that it is refused may not.
  const bool agree = whole.parsed == cut.parsed && (whole.parsed != Parsed::complete || whole == cut);
  if (!agree) std::abort();
  return 0;
}
