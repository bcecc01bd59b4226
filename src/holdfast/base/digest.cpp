#include "holdfast/base/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "holdfast/base/error.hpp"

namespace holdfast {
namespace {

void require(int result) {
  if (result != 1) throw Error(ErrorCode::internal, "SHA-256 failed.").cause("OpenSSL refused SHA-256");
}

// Fetched once: looking the algorithm up costs as much as digesting a small request.
const EVP_MD* algorithm() {
  static const EVP_MD* const kFetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return kFetched;
}

}  // namespace

struct Sha256::State {
  State() : context(EVP_MD_CTX_new()) {
    if (context == nullptr) throw std::bad_alloc();
  }
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  void begin() {
    if (begun) return;
    require(EVP_DigestInit_ex2(context, algorithm(), nullptr));
    begun = true;
  }

  EVP_MD_CTX* context;
  bool begun = false;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(std::string_view bytes) {
  state_->begin();
  require(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()));
  return *this;
}

Sha256Digest Sha256::finish() {
  Sha256Digest digest;
  state_->begin();
  require(EVP_DigestFinal_ex(state_->context, digest.data(), nullptr));
  state_->begun = false;
  return digest;
}

Sha256Digest sha256(std::string_view bytes) { return Sha256().update(bytes).finish(); }

bool equal_in_constant_time(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace holdfast
