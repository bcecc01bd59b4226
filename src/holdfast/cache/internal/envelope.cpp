#include "holdfast/cache/internal/envelope.hpp"

#include <algorithm>

namespace holdfast::cache::internal {
namespace {

constexpr std::string_view kMark = "HFC1";
constexpr std::size_t kHeaderBytes = 4 + 1 + 3 * 8;
constexpr std::uint64_t kMostMicroseconds = 100ull * 366 * 86'400 * 1'000'000;  // a century

void append(std::string& out, Duration duration) {
  const auto micros = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::microseconds>(duration).count()));
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>((micros >> shift) & 0xff);
}

std::optional<Duration> read(std::string_view bytes) noexcept {
  std::uint64_t micros = 0;
  for (const char c : bytes) micros = micros << 8 | static_cast<unsigned char>(c);
  if (micros > kMostMicroseconds) return std::nullopt;
  return std::chrono::microseconds(micros);
}

}  // namespace

std::string seal(const Envelope& envelope) {
  std::string out;
  out.reserve(kHeaderBytes + envelope.encoded.size());
  out += kMark;
  out += envelope.absent ? '\1' : '\0';
  append(out, envelope.life);
  append(out, envelope.stale_for);
  append(out, envelope.load_took);
  out += envelope.encoded;
  return out;
}

std::optional<Envelope> unseal(std::string_view bytes) noexcept {
  if (bytes.size() < kHeaderBytes || !bytes.starts_with(kMark)) return std::nullopt;
  const unsigned char flag = static_cast<unsigned char>(bytes[4]);
  const auto life = read(bytes.substr(5, 8));
  const auto stale_for = read(bytes.substr(13, 8));
  const auto load_took = read(bytes.substr(21, 8));
  const std::string_view encoded = bytes.substr(kHeaderBytes);
  if (flag > 1 || !life || !stale_for || !load_took || (flag == 1 && !encoded.empty())) return std::nullopt;
  return Envelope{.absent = flag == 1,
                  .life = *life,
                  .stale_for = *stale_for,
                  .load_took = *load_took,
                  .encoded = encoded};
}

}  // namespace holdfast::cache::internal
