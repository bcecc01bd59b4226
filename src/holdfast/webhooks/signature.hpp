// Signatures of webhooks: who sent this body, and when. Two schemes, both HMAC-SHA-256:
//
//   Stripe (docs.stripe.com/webhooks, "Verify manually"):  Stripe-Signature: t=1492774577,v1=<hex>
//   Standard Webhooks (standardwebhooks.com, 1.0.0):       webhook-id, webhook-timestamp,
//                                                          webhook-signature: v1,<base64>
//
//   if (verify_stripe(secrets, header, body, clock.wall_now()) != Verdict::genuine) → 400
//
// Verify the bytes that came, before anything parses them. Several secrets are for rotation: any of them
// will do. Comparison takes as long for a near miss as for a hit. Thread-safety: pure functions, values.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/random.hpp"

namespace holdfast::webhooks {

/// How far the sender's time may be from ours, either way: what is older may be a replay.
inline constexpr Duration kTolerance = std::chrono::minutes(5);

inline constexpr std::size_t kMaxSignatureHeaderBytes = 4096;
inline constexpr std::size_t kMaxSignatures = 16;  ///< in a header
inline constexpr std::size_t kMaxSecrets = 8;      ///< tried for a body; those behind are not looked at
inline constexpr std::size_t kMaxWebhookIdBytes = 255;

/// `stale` is said only of what is genuine otherwise: a stranger learns nothing about our clock.
enum class Verdict : std::uint8_t {
  genuine,
  malformed,      ///< the headers are missing, or not what the scheme says
  bad_signature,  ///< none of the signatures is by one of the secrets
  stale,          ///< signed by one of them, but earlier or later than `tolerance` from now
};

/// snake_case, as in metrics: "bad_signature".
std::string_view to_string(Verdict verdict) noexcept;

// ---- Stripe ----------------------------------------------------------------------------------------

/// The value of Stripe-Signature. The secret's text is the key as it is, "whsec_" included.
std::string sign_stripe(std::string_view secret, std::string_view body, WallTime now);

/// `header` is exactly one `t`, at least one `v1`; other schemes (v0) are passed over. Empty secrets
/// match nothing.
Verdict verify_stripe(std::span<const std::string> secrets, std::string_view header, std::string_view body,
                      WallTime now, Duration tolerance = kTolerance);

// ---- Standard Webhooks -----------------------------------------------------------------------------

/// A key of 24 to 64 bytes, written "whsec_" and base64.
class StandardSecret {
 public:
  /// 32 bytes that nobody can guess.
  static StandardSecret make(Random& random);
  static std::optional<StandardSecret> parse(std::string_view text);

  std::string text() const;  ///< for the two parties only: not for logs
  const std::string& key() const noexcept { return key_; }

 private:
  explicit StandardSecret(std::string key) : key_(std::move(key)) {}
  std::string key_;
};

inline constexpr std::string_view kWebhookIdHeader = "webhook-id";
inline constexpr std::string_view kWebhookTimestampHeader = "webhook-timestamp";
inline constexpr std::string_view kWebhookSignatureHeader = "webhook-signature";

/// The values of the three headers, as they are sent or came.
struct StandardHeaders {
  std::string id;
  std::string timestamp;  ///< seconds since 1970
  std::string signature;  ///< "v1,<base64>", several separated by a space
};

/// A signature for each secret, so that a receiver may have either while they are rotated. `id` is not
/// empty, without '.' (see verify_standard), at most kMaxWebhookIdBytes; 1 to kMaxSecrets secrets.
/// Throws Error(invalid_argument) otherwise.
StandardHeaders sign_standard(std::span<const StandardSecret> secrets, std::string_view id,
                              std::string_view body, WallTime now);

/// An id with a '.' is malformed: the signed text is "id.timestamp.body", and could be cut in two ways.
/// Signatures of other versions (v1a) are passed over.
Verdict verify_standard(std::span<const StandardSecret> secrets, const StandardHeaders& headers,
                        std::string_view body, WallTime now, Duration tolerance = kTolerance);

}  // namespace holdfast::webhooks
