#include "holdfast/resilience/siphash.hpp"

#include <bit>
#include <cstring>

namespace holdfast::resilience {

namespace {

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

struct Sip {
  std::uint64_t v0, v1, v2, v3;

  void round() noexcept {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }

  void take(std::uint64_t word) noexcept {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
};

}  // namespace

std::uint64_t siphash(const SipKey& secret, std::string_view text) noexcept {
  Sip sip{.v0 = secret.low ^ 0x736f6d6570736575ULL,
          .v1 = secret.high ^ 0x646f72616e646f6dULL,
          .v2 = secret.low ^ 0x6c7967656e657261ULL,
          .v3 = secret.high ^ 0x7465646279746573ULL};
  const std::uint64_t length = static_cast<std::uint64_t>(text.size()) << 56;
  while (text.size() >= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    sip.take(word);
    text.remove_prefix(8);
  }
  std::uint64_t last = 0;
  if (!text.empty()) std::memcpy(&last, text.data(), text.size());
  sip.take(last | length);
  sip.v2 ^= 0xff;
  for (int i = 0; i < 4; ++i) sip.round();
  return sip.v0 ^ sip.v1 ^ sip.v2 ^ sip.v3;
}

}  // namespace holdfast::resilience
