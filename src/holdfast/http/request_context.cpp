#include "holdfast/http/request_context.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace holdfast::http {
namespace {

constexpr std::size_t kMaxRequestIdBytes = 128;
constexpr std::size_t kNewRequestIdCharacters = 15;  // 75 bits; fits a std::string without an allocation
constexpr double kMaxTimeoutSeconds = 86'400;
constexpr Duration kMaxTimeout = std::chrono::hours(24);

bool sane_request_id(std::string_view id) noexcept {
  return !id.empty() && id.size() <= kMaxRequestIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("._:/+=-").find(c) != std::string_view::npos;
  });
}

std::string new_request_id(Random& random) {
  constexpr std::string_view kDigits = "0123456789abcdefghjkmnpqrstvwxyz";
  std::string id(kNewRequestIdCharacters, '\0');
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < id.size(); ++i) {
    if (i % 12 == 0) bits = random.next();
    id[i] = kDigits[bits & 31U];
    bits >>= 5U;
  }
  return id;
}

template <typename Number>
std::optional<Number> number(std::string_view text) noexcept {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Digits and at most one point between them: no sign, no exponent, no "inf".
bool plain_number(std::string_view text) noexcept {
  std::size_t points = 0;
  for (const char c : text) {
    if (c == '.')
      ++points;
    else if (c < '0' || c > '9')
      return false;
  }
  return !text.empty() && points <= 1 && text.front() != '.' && text.back() != '.';
}

/// "Timeout" in gRPC over HTTP/2: TimeoutValue, a positive integer of at most 8 digits, then TimeoutUnit.
Instant after_grpc_timeout(std::string_view header, Instant now, Instant deadline) noexcept {
  if (header.size() < 2 || header.size() > 9) return deadline;
  const std::string_view digits = header.substr(0, header.size() - 1);
  const auto value = plain_number(digits) ? number<std::int64_t>(digits) : std::nullopt;
  if (!value || *value == 0) return deadline;
  Duration unit{0};
  switch (header.back()) {
    case 'H': unit = std::chrono::hours(1); break;
    case 'M': unit = std::chrono::minutes(1); break;
    case 'S': unit = std::chrono::seconds(1); break;
    case 'm': unit = std::chrono::milliseconds(1); break;
    case 'u': unit = std::chrono::microseconds(1); break;
    case 'n': unit = std::chrono::nanoseconds(1); break;
    default: return deadline;
  }
  if (*value > kMaxTimeout / unit) return deadline;
  return std::min(deadline, now + *value * unit);
}

Instant after_seconds(std::string_view header, Instant now, Instant deadline) noexcept {
  const auto seconds = plain_number(header) ? number<double>(header) : std::nullopt;
  if (!seconds || !(*seconds > 0) || *seconds > kMaxTimeoutSeconds) return deadline;
  return std::min(deadline,
                  now + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*seconds)));
}

Instant at_unix_milliseconds(std::string_view header, const Clock& clock, Instant now,
                             Instant deadline) noexcept {
  if (header.find('.') != std::string_view::npos || !plain_number(header)) return deadline;
  const auto milliseconds = number<std::int64_t>(header);
  if (!milliseconds) return deadline;
  const std::int64_t present =
      std::chrono::duration_cast<std::chrono::milliseconds>(clock.wall_now().time_since_epoch()).count();
  const std::int64_t left = *milliseconds - present;
  if (left > static_cast<std::int64_t>(kMaxTimeoutSeconds) * 1000) return deadline;
  return std::min(deadline, now + std::chrono::milliseconds(std::max<std::int64_t>(left, 0)));
}

Priority priority_of(std::string_view header) noexcept {
  if (equal_ignoring_case(header, "critical")) return Priority::critical;
  if (equal_ignoring_case(header, "background")) return Priority::background;
  return Priority::normal;
}

}  // namespace

Context::Request read_context(const Request& request, const Clock& clock, Instant now, Instant deadline,
                              Random& random) {
  Context::Request context;
  context.deadline = deadline;
  std::optional<observe::TraceContext> trace;
  for (const Header& header : request.headers) {
    switch (header.name.size()) {  // most headers are none of ours: one look at the length tells
      case 10:
        if (equal_ignoring_case(header.name, "X-Deadline")) {
          context.deadline = at_unix_milliseconds(header.value, clock, now, context.deadline);
        } else if (equal_ignoring_case(header.name, "X-Priority")) {
          context.priority = priority_of(header.value);
        }
        break;
      case 11:
        if (equal_ignoring_case(header.name, "traceparent")) trace = observe::parse_traceparent(header.value);
        break;
      case 12:
        if (equal_ignoring_case(header.name, "X-Request-Id") && sane_request_id(header.value)) {
          context.request_id = header.value;
        } else if (equal_ignoring_case(header.name, "grpc-timeout")) {
          context.deadline = after_grpc_timeout(header.value, now, context.deadline);
        }
        break;
      case 15:
        if (equal_ignoring_case(header.name, "Request-Timeout")) {
          context.deadline = after_seconds(header.value, now, context.deadline);
        }
        break;
      case 17:
        if (equal_ignoring_case(header.name, "X-Request-Timeout")) {
          context.deadline = after_seconds(header.value, now, context.deadline);
        }
        break;
      default: break;
    }
  }
  context.trace = trace ? trace->child(random) : observe::TraceContext::start(random);
  if (context.request_id.empty()) context.request_id = new_request_id(random);
  return context;
}

}  // namespace holdfast::http
