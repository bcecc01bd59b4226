// Entries of a stream as XREAD gives them. Thread-safety: pure functions.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/messaging/message.hpp"
#include "holdfast/redis/reply.hpp"

namespace holdfast::messaging::redis_streams {

/// Of an entry: the payload. Its other fields are CloudEvents attributes, as headers are elsewhere.
inline constexpr std::string_view kBodyField = "data";

inline constexpr std::size_t kMaxReplyBytes = 64 * 1024 * 1024;

template <class Number>
std::optional<Number> number_of(std::string_view text) noexcept {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// [id, [name, value, …]] Throws Error(invalid_argument, "message_malformed") for what this platform did not
/// write, or not into this bucket's stream.
Message message_of(int bucket, const holdfast::redis::Reply& entry);

}  // namespace holdfast::messaging::redis_streams
