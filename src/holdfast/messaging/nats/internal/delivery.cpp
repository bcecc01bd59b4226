#include "holdfast/messaging/nats/internal/delivery.hpp"

#include <array>
#include <charconv>

namespace holdfast::messaging::nats {
namespace {

constexpr std::size_t kShort = 9;  ///< tokens, without a domain
constexpr std::size_t kLong = 11;  ///< with one; servers may add more

bool read(std::string_view text, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::optional<Delivery> parse_delivery(std::string_view reply) {
  if (!reply.starts_with("$JS.ACK.")) return std::nullopt;
  std::array<std::string_view, kLong> tokens{};
  std::size_t count = 0;
  while (count < kLong) {
    const std::size_t dot = reply.find('.');
    tokens[count++] = reply.substr(0, dot);
    if (dot == std::string_view::npos) break;
    reply.remove_prefix(dot + 1);
  }
  if (count != kShort && count != kLong) return std::nullopt;
  const std::size_t first = count == kShort ? 2 : 4;  // the stream
  Delivery delivery{.consumer = tokens[first + 1]};
  const bool whole = read(tokens[first + 3], delivery.stream_sequence) &&
                     read(tokens[first + 4], delivery.consumer_sequence) &&
                     read(tokens[first + 6], delivery.pending);
  if (!whole || delivery.consumer.empty()) return std::nullopt;
  return delivery;
}

}  // namespace holdfast::messaging::nats
