// Where in a distributed trace we are: W3C Trace Context (https://www.w3.org/TR/trace-context/).
// A TraceContext is a value; it travels in a Context, in HTTP headers, in messages and in log lines.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/random.hpp"

namespace holdfast::observe {

struct TraceContext {
  std::array<std::uint8_t, 16> trace_id{};
  std::array<std::uint8_t, 8> span_id{};
  bool sampled = true;

  /// A new trace with a first span.
  static TraceContext start(Random& random) noexcept;

  /// The same trace, a new span under this one.
  TraceContext child(Random& random) const noexcept;

  bool valid() const noexcept;  ///< an all-zero trace or span id is "none"

  std::string traceparent() const;   ///< "00-<32 hex>-<16 hex>-<01|00>"
  std::string trace_id_hex() const;  ///< 32 lower-case hex digits
  std::string span_id_hex() const;   ///< 16 lower-case hex digits
};

/// Reads a `traceparent` header. Empty where it is malformed or all zero: the standard then asks
/// for a new trace. Versions above 00 are read by the rules of version 00.
std::optional<TraceContext> parse_traceparent(std::string_view header) noexcept;

}  // namespace holdfast::observe
