#include "holdfast/observe/trace.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace holdfast::observe {

namespace {

constexpr char kHexDigits[] = "0123456789abcdef";

template <std::size_t N>
void append_hex(std::string& out, const std::array<std::uint8_t, N>& bytes) {
  for (const std::uint8_t byte : bytes) {
    out.push_back(kHexDigits[byte >> 4]);
    out.push_back(kHexDigits[byte & 15]);
  }
}

template <std::size_t N>
void fill(std::array<std::uint8_t, N>& id, Random& random) noexcept {
  static_assert(N % sizeof(std::uint64_t) == 0);
  do {  // an id of zeros means "none"
    for (std::size_t at = 0; at < N; at += sizeof(std::uint64_t)) {
      const std::uint64_t word = random.next();
      std::memcpy(id.data() + at, &word, sizeof word);
    }
  } while (std::ranges::all_of(id, [](std::uint8_t byte) { return byte == 0; }));
}

/// The standard allows lower case only.
int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool read_hex(std::string_view text, std::span<std::uint8_t> out) noexcept {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return true;
}

}  // namespace

TraceContext TraceContext::start(Random& random) noexcept {
  TraceContext trace;
  fill(trace.trace_id, random);
  fill(trace.span_id, random);
  return trace;
}

TraceContext TraceContext::child(Random& random) const noexcept {
  TraceContext below = *this;
  fill(below.span_id, random);
  return below;
}

bool TraceContext::valid() const noexcept {
  const auto set = [](std::uint8_t byte) { return byte != 0; };
  return std::ranges::any_of(trace_id, set) && std::ranges::any_of(span_id, set);
}

std::string TraceContext::traceparent() const {
  std::string out;
  out.reserve(55);
  out.append("00-");
  append_hex(out, trace_id);
  out.push_back('-');
  append_hex(out, span_id);
  out.append(sampled ? "-01" : "-00");
  return out;
}

std::string TraceContext::trace_id_hex() const {
  std::string out;
  append_hex(out, trace_id);
  return out;
}

std::string TraceContext::span_id_hex() const {
  std::string out;
  append_hex(out, span_id);
  return out;
}

std::optional<TraceContext> parse_traceparent(std::string_view header) noexcept {
  constexpr std::size_t kLength = 55;  // 2 + 1 + 32 + 1 + 16 + 1 + 2
  if (header.size() < kLength) return std::nullopt;
  std::array<std::uint8_t, 1> version{};
  if (!read_hex(header, version) || version[0] == 0xff) return std::nullopt;
  if (header.size() > kLength && (version[0] == 0 || header[kLength] != '-')) return std::nullopt;
  if (header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  TraceContext trace;
  std::array<std::uint8_t, 1> flags{};
  if (!read_hex(header.substr(3), trace.trace_id) || !read_hex(header.substr(36), trace.span_id) ||
      !read_hex(header.substr(53), flags) || !trace.valid()) {
    return std::nullopt;
  }
  trace.sampled = (flags[0] & 1) != 0;
  return trace;
}

}  // namespace holdfast::observe
