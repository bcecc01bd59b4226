// SecretBox: seals secrets before they are written to the database, so that who reads its file, or a backup
// of it, cannot sign in our name. AES-256-GCM (NIST SP 800-38D) with a random nonce; bound to its row, so
// that one can't be put in another's place.
//
//   const SecretBox box({"2026a:…base64 of 32 bytes…", "2025b:…"});   // the first seals, each of them opens
//   row.secret = box.seal(random, row.id, secret);                    // "enc1.2026a.…"
//   const auto secret = box.open(row.id, row.secret);
//
// A key is changed by putting the new one in front; Subscribers::reseal() moves what the old ones sealed.
// With no key secrets are kept as they are. Thread-safety: a value; reading from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/random.hpp"

namespace holdfast::webhooks {

class SecretBox {
 public:
  static constexpr std::size_t kMaxKeys = 16;

  /// Without a key: seals nothing, and opens only what was not sealed.
  SecretBox() = default;
  /// `keys`: "<id>:<base64 of 32 bytes>"; an id has 1 to 32 of a-z, A-Z, 0-9, '_' and '-', each its own.
  /// Throws Error(invalid_argument, "secret_key_invalid"), which quotes no key.
  explicit SecretBox(const std::vector<std::string>& keys);
  /// The same, separated by commas; blanks around them are ignored. Empty: no key.
  static SecretBox parse(std::string_view keys);

  bool has_key() const noexcept { return !keys_.empty(); }

  /// `row` is what it is bound to.
  std::string seal(Random& random, std::string_view row, std::string_view secret) const;
  /// Nothing where its key is not among ours, or it is not what was sealed for `row`.
  std::optional<std::string> open(std::string_view row, std::string_view stored) const;
  /// Whether seal() would write it in another way: it is sealed with an old key, or not at all.
  bool is_outdated(std::string_view stored) const noexcept;

 private:
  struct Key {
    std::string id;
    std::array<std::uint8_t, 32> bytes;
  };
  std::vector<Key> keys_;
};

}  // namespace holdfast::webhooks
