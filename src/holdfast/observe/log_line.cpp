#include "holdfast/observe/internal/log_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "holdfast/base/utf8.hpp"
#include "holdfast/observe/redact.hpp"

namespace holdfast::observe {

namespace {

constexpr std::size_t kMaxValueBytes = 4 * 1024;
constexpr std::size_t kTailBytes = 64;  // kept free for what closes a cut line
constexpr std::string_view kCutMark = "…";
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

constexpr std::array<bool, 256> plain_bytes() {
  std::array<bool, 256> plain{};
  for (int c = 0x20; c < 0x7F; ++c) plain[static_cast<std::size_t>(c)] = c != '"' && c != '\\';
  return plain;
}
constexpr std::array<bool, 256> kPlain = plain_bytes();

/// Escapes as JSON does; what is not UTF-8 becomes U+FFFD. Text lines are escaped the same way, so that
/// no value can forge a line or talk to the terminal.
void append_escaped(LineBuffer& out, std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    while (end < text.size() && kPlain[static_cast<unsigned char>(text[end])]) ++end;
    out.append(text.substr(at, end - at));
    if (end == text.size()) return;
    at = end;
    const auto c = static_cast<unsigned char>(text[at]);
    if (c >= 0x80) {
      const std::size_t length = utf8_sequence(text.substr(at));
      out.append(length == 0 ? kReplacement : text.substr(at, length));
      at += length == 0 ? 1 : length;
      continue;
    }
    switch (c) {
      case '"': out.append("\\\""); break;
      case '\\': out.append("\\\\"); break;
      case '\n': out.append("\\n"); break;
      case '\r': out.append("\\r"); break;
      case '\t': out.append("\\t"); break;
      default: {
        constexpr char kHex[] = "0123456789abcdef";
        const char escape[] = {'\\', 'u', '0', '0', kHex[c >> 4], kHex[c & 15]};
        out.append({escape, sizeof escape});
      }
    }
    ++at;
  }
}

/// At most kMaxValueBytes of it, cut between characters, and without what must not be read.
void append_value_text(LineBuffer& out, std::string_view text) {
  const bool cut = text.size() > kMaxValueBytes;
  if (cut) {
    std::size_t end = kMaxValueBytes;
    while (end > kMaxValueBytes - 4 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  if (needs_redaction(text)) {
    append_escaped(out, redact(text));
  } else {
    append_escaped(out, text);
  }
  if (cut) out.append(kCutMark);
}

void append_json_string(LineBuffer& out, std::string_view text) {
  out.push('"');
  append_value_text(out, text);
  out.push('"');
}

bool needs_quotes(std::string_view text) noexcept {
  return text.empty() || !std::ranges::all_of(text, [](char c) {
           const auto byte = static_cast<unsigned char>(c);
           return byte >= 0x80 || (kPlain[byte] && c != ' ' && c != '=');
         });
}

void append_real(LineBuffer& out, double value, bool json) {
  if (!std::isfinite(value)) {
    if (json) out.push('"');
    out.append(std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
    if (json) out.push('"');
    return;
  }
  char digits[32];
  const auto* end = fmt::format_to_n(digits, sizeof digits, "{}", value).out;
  out.append({digits, static_cast<std::size_t>(end - digits)});
}

void append_seconds(LineBuffer& out, std::int64_t nanoseconds) {
  append_real(out, static_cast<double>(nanoseconds) / 1e9, true);
}

void append_readable_duration(LineBuffer& out, std::int64_t nanoseconds) {
  struct Unit {
    double nanoseconds;
    std::string_view name;
  };
  constexpr std::array<Unit, 4> kUnits = {{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1, "ns"}}};
  const double value = static_cast<double>(nanoseconds);
  const auto* unit =
      std::ranges::find_if(kUnits, [&](const Unit& u) { return std::abs(value) >= u.nanoseconds; });
  if (unit == kUnits.end()) unit = &kUnits.back();
  char digits[40];
  const auto* end =
      fmt::format_to_n(digits, sizeof digits, "{:.4g}{}", value / unit->nanoseconds, unit->name).out;
  out.append({digits, static_cast<std::size_t>(end - digits)});
}

void append_value(LineBuffer& out, LineStyle style, const LogField& field) {
  if (field.kind == LogField::Kind::boolean) return out.append(field.boolean ? "true" : "false");
  if (names_a_secret(field.name)) return out.append(style.json ? "\"***\"" : kMasked);
  switch (field.kind) {
    case LogField::Kind::text:
      if (style.json || needs_quotes(field.text)) return append_json_string(out, field.text);
      return append_value_text(out, field.text);
    case LogField::Kind::integer: {
      const fmt::format_int digits(field.integer);
      return out.append({digits.data(), digits.size()});
    }
    case LogField::Kind::natural: {
      const fmt::format_int digits(field.natural);
      return out.append({digits.data(), digits.size()});
    }
    case LogField::Kind::real: return append_real(out, field.real, style.json);
    case LogField::Kind::duration:
      return style.json ? append_seconds(out, field.integer) : append_readable_duration(out, field.integer);
    case LogField::Kind::boolean: break;
  }
}

char* put_digits(char* at, unsigned value, int count) noexcept {
  for (int i = count - 1; i >= 0; --i, value /= 10) at[i] = static_cast<char>('0' + value % 10);
  return at + count;
}

/// RFC 3339 UTC with microseconds: "2026-01-01T00:00:00.000000Z"; the time of day alone for people.
void append_time(LineBuffer& out, WallTime time, bool with_date) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const auto micros = static_cast<std::uint64_t>((time - day).count());
  const auto seconds = static_cast<unsigned>(micros / 1'000'000);
  char text[32];
  char* at = text;
  if (with_date) {
    at = put_digits(at, static_cast<unsigned>(std::clamp(static_cast<int>(date.year()), 0, 9999)), 4);
    *at++ = '-';
    at = put_digits(at, static_cast<unsigned>(date.month()), 2);
    *at++ = '-';
    at = put_digits(at, static_cast<unsigned>(date.day()), 2);
    *at++ = 'T';
  }
  at = put_digits(at, seconds / 3600, 2);
  *at++ = ':';
  at = put_digits(at, seconds / 60 % 60, 2);
  *at++ = ':';
  at = put_digits(at, seconds % 60, 2);
  *at++ = '.';
  at = put_digits(at, static_cast<unsigned>(micros % 1'000'000), 6);
  *at++ = 'Z';
  out.append({text, static_cast<std::size_t>(at - text)});
}

template <std::size_t N>
void append_hex(LineBuffer& out, const std::array<std::uint8_t, N>& bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  char text[2 * N];
  for (std::size_t i = 0; i < N; ++i) {
    text[2 * i] = kHex[bytes[i] >> 4];
    text[2 * i + 1] = kHex[bytes[i] & 15];
  }
  out.append({text, sizeof text});
}

bool has_trace(const LogScope& scope) noexcept { return scope.trace != nullptr && scope.trace->valid(); }

void append_json_line(LineBuffer& out, const LineHead& head, std::string_view bound,
                      std::span<const LogField> fields) {
  out.append(R"({"time":")");
  append_time(out, head.time, true);
  out.append(R"(","level":")");
  out.append(to_string(head.level));
  out.append(R"(","logger":")");
  append_escaped(out, head.logger);
  out.append(R"(","message":)");
  append_json_string(out, head.message);
  if (has_trace(*head.scope)) {
    out.append(R"(,"traceId":")");
    append_hex(out, head.scope->trace->trace_id);
    out.append(R"(","spanId":")");
    append_hex(out, head.scope->trace->span_id);
    out.push('"');
  }
  if (!head.scope->request_id.empty()) {
    out.append(R"(,"requestId":)");
    append_json_string(out, head.scope->request_id);
  }
  out.append(bound);
  append_fields(out, {.json = true}, fields);
  out.append("}\n");
}

struct LevelLook {
  std::string_view padded;
  std::string_view colour;
};

LevelLook look_of(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::trace: return {"TRACE", "\x1b[2m"};
    case LogLevel::debug: return {"DEBUG", "\x1b[36m"};
    case LogLevel::info: return {"INFO ", "\x1b[32m"};
    case LogLevel::warn: return {"WARN ", "\x1b[33m"};
    case LogLevel::error: return {"ERROR", "\x1b[31m"};
    case LogLevel::off: break;
  }
  return {"     ", ""};
}

void append_text_line(LineBuffer& out, bool colour, const LineHead& head, std::string_view bound,
                      std::span<const LogField> fields) {
  const auto paint = [&](std::string_view code) {
    if (colour) out.append(code);
  };
  constexpr std::string_view kFaint = "\x1b[2m";
  constexpr std::string_view kPlainAgain = "\x1b[0m";
  paint(kFaint);
  append_time(out, head.time, false);
  paint(kPlainAgain);
  out.push(' ');
  const LevelLook look = look_of(head.level);
  paint(look.colour);
  out.append(look.padded);
  paint(kPlainAgain);
  out.push(' ');
  if (!head.logger.empty()) {
    append_escaped(out, head.logger);
    out.append(": ");
  }
  append_value_text(out, head.message);
  paint(kFaint);
  out.append(bound);
  append_fields(out, {.json = false}, fields);
  if (!head.scope->request_id.empty()) {
    const LogField request("requestId", head.scope->request_id);
    append_fields(out, {.json = false}, {&request, 1});
  }
  if (has_trace(*head.scope)) {
    out.append(" traceId=");
    append_hex(out, head.scope->trace->trace_id);
  }
  paint(kPlainAgain);
  out.push('\n');
}

}  // namespace

void LineBuffer::append(std::string_view text) {
  if (size_ + text.size() > capacity_) grow(text.size());
  const std::size_t taken = std::min(text.size(), capacity_ - size_);
  if (taken > 0) std::memcpy(data() + size_, text.data(), taken);  // an empty view may point nowhere
  size_ += taken;
}

void LineBuffer::grow(std::size_t by) {
  const std::size_t wanted = std::min(max_bytes_, std::max(2 * capacity_, size_ + by));
  if (wanted <= capacity_) return;
  std::string larger;
  larger.resize(wanted);
  std::memcpy(larger.data(), data(), size_);
  large_ = std::move(larger);
  capacity_ = wanted;
}

void append_fields(LineBuffer& out, LineStyle style, std::span<const LogField> fields) {
  std::size_t left_out = 0;
  for (const LogField& field : fields) {
    // Escaping can make a text six times as long: a field is left out whole rather than torn.
    const std::size_t at_most = field.kind == LogField::Kind::text
                                    ? 6 * std::min(field.text.size(), kMaxValueBytes) + kCutMark.size()
                                    : 48;
    if (out.room() < at_most + 6 * field.name.size() + kTailBytes) {
      ++left_out;
      continue;
    }
    out.append(style.json ? ",\"" : " ");
    append_escaped(out, field.name);
    out.append(style.json ? "\":" : "=");
    append_value(out, style, field);
  }
  if (left_out == 0) return;
  out.append(style.json ? ",\"fieldsLeftOut\":" : " fieldsLeftOut=");
  const fmt::format_int digits(left_out);
  out.append({digits.data(), digits.size()});
}

void append_line(LineBuffer& out, LineStyle style, const LineHead& head, std::string_view bound,
                 std::span<const LogField> fields) {
  if (style.json) return append_json_line(out, head, bound, fields);
  append_text_line(out, style.colour, head, bound, fields);
}

}  // namespace holdfast::observe
