#include "holdfast/webhooks/secret_box.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>
#include <span>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/error.hpp"

namespace holdfast::webhooks {
namespace {

constexpr std::string_view kMark = "enc1.";
constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
constexpr std::size_t kMaxIdBytes = 32;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

Cipher new_cipher() { return {EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free}; }

const std::uint8_t* bytes_of(std::string_view text) { return as_bytes(text).data(); }
int length_of(std::string_view text) { return static_cast<int>(text.size()); }

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorCode::invalid_argument, "A key that seals secrets " + what).reason("secret_key_invalid");
}

bool is_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes && std::ranges::all_of(id, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

/// nonce, ciphertext, tag.
std::string encrypt(std::span<const std::uint8_t> key, std::span<const std::uint8_t> nonce,
                    std::string_view row, std::string_view secret) {
  std::string sealed(reinterpret_cast<const char*>(nonce.data()), nonce.size());
  sealed.resize(kNonceBytes + secret.size() + kTagBytes);
  auto* const out = reinterpret_cast<std::uint8_t*>(sealed.data()) + kNonceBytes;
  const Cipher cipher = new_cipher();
  int count = 0;
  const bool done =
      cipher && EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce.data()) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &count, bytes_of(row), length_of(row)) == 1 &&
      EVP_EncryptUpdate(cipher.get(), out, &count, bytes_of(secret), length_of(secret)) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), out + secret.size(), &count) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kTagBytes),
                          out + secret.size()) == 1;
  if (!done) throw Error(ErrorCode::internal, "A secret can't be sealed.");
  return sealed;
}

std::optional<std::string> decrypt(std::span<const std::uint8_t> key, std::string_view row,
                                   std::string sealed) {
  if (sealed.size() < kNonceBytes + kTagBytes) return std::nullopt;
  const std::size_t length = sealed.size() - kNonceBytes - kTagBytes;
  auto* const nonce = reinterpret_cast<std::uint8_t*>(sealed.data());
  std::string secret(length, '\0');
  auto* const out = reinterpret_cast<std::uint8_t*>(secret.data());
  const Cipher cipher = new_cipher();
  int count = 0;
  const bool genuine =
      cipher && EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.data(), nonce) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &count, bytes_of(row), length_of(row)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), out, &count, nonce + kNonceBytes, static_cast<int>(length)) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kTagBytes),
                          nonce + kNonceBytes + length) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), out + length, &count) == 1;
  if (!genuine) return std::nullopt;
  return secret;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

}  // namespace

SecretBox::SecretBox(const std::vector<std::string>& keys) {
  if (keys.size() > kMaxKeys) refuse("is one too many: there are at most " + std::to_string(kMaxKeys) + ".");
  for (const std::string& text : keys) {
    const std::size_t colon = text.find(':');
    const std::string id = text.substr(0, colon);
    if (colon == std::string::npos || !is_id(id)) refuse("must read <id>:<base64 of 32 bytes>.");
    const auto known = [&](const Key& key) { return key.id == id; };
    if (std::ranges::any_of(keys_, known)) refuse("has an id that another has: " + id + ".");
    const auto bytes = decode_base64(std::string_view(text).substr(colon + 1));
    if (!bytes || bytes->size() != Key{}.bytes.size()) refuse(id + " is not the base64 of 32 bytes.");
    Key key{.id = id, .bytes = {}};
    std::ranges::copy(as_bytes(*bytes), key.bytes.begin());
    keys_.push_back(std::move(key));
  }
}

SecretBox SecretBox::parse(std::string_view keys) {
  std::vector<std::string> each;
  while (!trimmed(keys).empty()) {
    const std::size_t comma = std::min(keys.find(','), keys.size());
    each.emplace_back(trimmed(keys.substr(0, comma)));
    keys.remove_prefix(std::min(comma + 1, keys.size()));
  }
  return SecretBox(each);
}

std::string SecretBox::seal(Random& random, std::string_view row, std::string_view secret) const {
  if (keys_.empty()) return std::string(secret);
  std::array<std::uint8_t, kNonceBytes> nonce{};
  random.fill_secret(std::as_writable_bytes(std::span(nonce)));
  const std::string sealed = encrypt(keys_.front().bytes, nonce, row, secret);
  return std::string(kMark) + keys_.front().id + "." + encode_base64url(as_bytes(sealed));
}

std::optional<std::string> SecretBox::open(std::string_view row, std::string_view stored) const {
  if (!stored.starts_with(kMark)) return std::string(stored);
  stored.remove_prefix(kMark.size());
  const std::size_t dot = stored.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto key = std::ranges::find(keys_, stored.substr(0, dot), &Key::id);
  if (key == keys_.end()) return std::nullopt;
  auto sealed = decode_base64url(stored.substr(dot + 1));
  if (!sealed) return std::nullopt;
  return decrypt(key->bytes, row, std::move(*sealed));
}

bool SecretBox::is_outdated(std::string_view stored) const noexcept {
  if (keys_.empty()) return false;
  if (!stored.starts_with(kMark)) return true;
  stored.remove_prefix(kMark.size());
  return stored.substr(0, stored.find('.')) != keys_.front().id;
}

}  // namespace holdfast::webhooks
