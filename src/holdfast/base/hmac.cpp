#include "holdfast/base/hmac.hpp"

#include <algorithm>
#include <array>

namespace holdfast {
namespace {

constexpr std::size_t kBlockBytes = 64;  // of SHA-256

std::string_view text_of(const auto& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Sha256Digest hmac_sha256(std::string_view key, std::initializer_list<std::string_view> parts) {
  std::array<std::uint8_t, kBlockBytes> block{};
  if (key.size() > kBlockBytes) {
    std::ranges::copy(sha256(key), block.begin());
  } else {
    std::ranges::copy(key, block.begin());
  }
  Sha256 digest;
  for (auto& byte : block) byte ^= 0x36;
  digest.update(text_of(block));
  for (const std::string_view part : parts) digest.update(part);
  const Sha256Digest inner = digest.finish();
  for (auto& byte : block) byte ^= 0x36 ^ 0x5C;
  return digest.update(text_of(block)).update(text_of(inner)).finish();
}

}  // namespace holdfast
