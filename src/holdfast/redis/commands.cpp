#include "holdfast/redis/commands.hpp"

#include <openssl/evp.h>

#include <array>

#include "holdfast/base/invariant.hpp"

namespace holdfast::redis {

Commands& Commands::add(std::span<const std::string_view> words) {
  require_invariant(!words.empty(), "a Redis command has a name");
  bytes_.append("*").append(std::to_string(words.size())).append("\r\n");
  for (const std::string_view word : words) {
    bytes_.append("$").append(std::to_string(word.size())).append("\r\n").append(word).append("\r\n");
  }
  ++count_;
  return *this;
}

Script::Script(std::string source) : source_(std::move(source)) {
  constexpr char kHex[] = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  // A name, not a proof: Redis knows scripts by their SHA-1.
  const int done = EVP_Digest(source_.data(), source_.size(), digest.data(), &size, EVP_sha1(), nullptr);
  require_invariant(done == 1 && size == 20, "SHA-1 is there");
  for (unsigned int i = 0; i < size; ++i) {
    sha1_ += kHex[digest[i] >> 4];
    sha1_ += kHex[digest[i] & 15];
  }
}

}  // namespace holdfast::redis
