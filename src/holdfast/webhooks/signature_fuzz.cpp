// Any bytes as headers: never genuine, unless they were signed here; what is signed verifies.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "holdfast/webhooks/signature.hpp"

namespace {

using namespace holdfast::webhooks;

constexpr holdfast::WallTime kNow{std::chrono::seconds(1700000000)};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const std::vector<std::string> kStripeSecrets = {"whsec_one", "whsec_two"};
  static const std::vector<StandardSecret> kSecrets = {
      *StandardSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")};
  if (verify_stripe(kStripeSecrets, text, "body", kNow) == Verdict::genuine) std::abort();
  const std::size_t third = size / 3;
  const StandardHeaders headers{.id = std::string(text.substr(0, third)),
                                .timestamp = std::string(text.substr(third, third)),
                                .signature = std::string(text.substr(2 * third))};
  if (verify_standard(kSecrets, headers, "body", kNow) == Verdict::genuine) std::abort();
  if (verify_stripe(kStripeSecrets, sign_stripe("whsec_two", text, kNow), text, kNow) != Verdict::genuine) {
    std::abort();
  }
  if (verify_standard(kSecrets, sign_standard(kSecrets, "msg_1", text, kNow), text, kNow) !=
      Verdict::genuine) {
    std::abort();
  }
  StandardSecret::parse(text);
  return 0;
}
