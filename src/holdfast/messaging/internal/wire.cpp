#include "holdfast/messaging/internal/wire.hpp"

#include <algorithm>
#include <charconv>

#include "holdfast/base/error.hpp"
#include "holdfast/base/time_text.hpp"
#include "holdfast/base/utf8.hpp"

namespace holdfast::messaging {
namespace {

constexpr std::string_view kOwnPrefix = "hf-";
constexpr std::string_view kHex = "0123456789ABCDEF";

[[noreturn]] void refuse(std::string what) {
  throw Error(ErrorCode::invalid_argument, "A message of the broker is not one of ours: " + std::move(what))
      .reason("message_malformed");
}

bool plain_in_value(char c) noexcept { return c > ' ' && c < 0x7f && c != '"' && c != '%'; }
bool plain_in_name(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

template <class Plain>
std::string encoded(std::string_view text, Plain plain) {
  std::string out;
  for (const char c : text) {
    if (plain(c)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) refuse("a header's escapes are broken.");
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (!is_valid_utf8(out)) refuse("a header is no UTF-8.");
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

template <class Number>
Number number_of(std::string_view name, const std::string& text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) refuse(std::string(name) + " is no number.");
  return value;
}

void require(bool holds, const char* what) {
  if (!holds) refuse(what);
}

}  // namespace

WireHeaders to_wire(const Message& message) {
  const auto value = [](std::string_view text) { return encoded(text, plain_in_value); };
  WireHeaders headers{{"ce-specversion", "1.0"},
                      {"content-type", "application/json"},
                      {"ce-id", value(message.id)},
                      {"ce-source", "/holdfast/" + value(message.topic)},
                      {"ce-type", value(message.type)},
                      {"ce-time", format_rfc3339(message.occurred_at)},
                      {"ce-partitionkey", value(message.key)},
                      {"ce-holdfasttopic", value(message.topic)},
                      {"ce-holdfastversion", std::to_string(message.version)},
                      {"ce-holdfastposition", std::to_string(message.position)}};
  for (const auto& [name, content] : message.headers)
    headers.emplace_back(std::string(kOwnPrefix) + encoded(name, plain_in_name), value(content));
  if (const auto trace = message.header(kTraceparentHeader); !trace.empty())
    headers.emplace_back(kTraceparentHeader, value(trace));
  return headers;
}

Message from_wire(const WireHeaders& headers, std::string payload) {
  Message message;
  for (const auto& [spelled, text] : headers) {
    const std::string name = lower(spelled);
    if (name == "ce-id")
      message.id = decoded(text);
    else if (name == "ce-type")
      message.type = decoded(text);
    else if (name == "ce-partitionkey")
      message.key = decoded(text);
    else if (name == "ce-holdfasttopic")
      message.topic = decoded(text);
    else if (name == "ce-holdfastversion")
      message.version = number_of<std::int32_t>(name, text);
    else if (name == "ce-holdfastposition")
      message.position = number_of<std::int64_t>(name, text);
    else if (name == "ce-time") {
      const auto at = parse_rfc3339(text);
      require(at.has_value(), "its time is none.");
      message.occurred_at = *at;
    } else if (name.starts_with(kOwnPrefix)) {
      message.headers.insert_or_assign(decoded(std::string_view(name).substr(kOwnPrefix.size())),
                                       decoded(text));
    }
  }
  const auto short_enough = [](const std::string& text) {
    return !text.empty() && text.size() <= kMaxNameBytes;
  };
  require(short_enough(message.id), "it has no id.");
  require(short_enough(message.topic), "it has no topic.");
  require(short_enough(message.key), "it has no key.");
  require(short_enough(message.type), "it has no type.");
  require(message.position > 0, "it has no position.");
  message.payload = std::move(payload);
  return message;
}

}  // namespace holdfast::messaging
