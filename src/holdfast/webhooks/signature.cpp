#include "holdfast/webhooks/signature.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/base/hmac.hpp"

namespace holdfast::webhooks {
namespace {

constexpr std::string_view kSecretPrefix = "whsec_";
constexpr std::size_t kMinKeyBytes = 24;
constexpr std::size_t kMaxKeyBytes = 64;
constexpr std::size_t kMadeKeyBytes = 32;
constexpr std::size_t kMaxTimestampDigits = 11;  // until the year 5138

/// Cuts `text` up to the next `separator` off its front.
std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view taken = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return taken;
}

/// Digits only, no leading zero: one text a time, since the text is what is signed.
std::optional<WallTime> time_of(std::string_view digits) {
  if (digits.empty() || digits.size() > kMaxTimestampDigits || digits[0] == '0') return std::nullopt;
  std::int64_t seconds = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
  if (failure != std::errc() || end != digits.data() + digits.size() || seconds < 0) return std::nullopt;
  return WallTime(std::chrono::seconds(seconds));
}

std::string seconds_of(WallTime time) {
  return std::to_string(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
}

Verdict verdict_of(bool matched, WallTime signed_at, WallTime now, Duration tolerance) {
  if (!matched) return Verdict::bad_signature;
  const auto apart = now > signed_at ? now - signed_at : signed_at - now;
  return apart > tolerance ? Verdict::stale : Verdict::genuine;
}

/// What a header said, decoded. Bounded, so that a long header costs its sender more than us.
struct Presented {
  std::array<std::string, kMaxSignatures> signatures;
  std::size_t count = 0;

  bool add(std::optional<std::string> signature) {
    if (count == kMaxSignatures || !signature || signature->size() != Sha256Digest{}.size()) return false;
    signatures[count++] = std::move(*signature);
    return true;
  }

  /// Looks at all of them, also behind a match.
  bool has(const Sha256Digest& expected) const {
    bool found = false;
    for (std::size_t i = 0; i < count; ++i) {
      found = equal_in_constant_time(as_bytes(signatures[i]), expected) || found;
    }
    return found;
  }
};

struct StripeHeader {
  std::string_view time_text;
  WallTime time{};
  Presented presented;
};

std::optional<StripeHeader> parse_stripe(std::string_view header) {
  if (header.empty() || header.size() > kMaxSignatureHeaderBytes || header.back() == ',') return std::nullopt;
  StripeHeader parsed;
  while (!header.empty()) {
    std::string_view value = take_until(header, ',');
    if (value.find('=') == std::string_view::npos) return std::nullopt;
    const std::string_view scheme = take_until(value, '=');
    if (scheme == "t") {
      const auto time = time_of(value);
      if (!time || !parsed.time_text.empty()) return std::nullopt;
      parsed.time_text = value;
      parsed.time = *time;
    } else if (scheme == "v1") {
      if (!parsed.presented.add(decode_hex(value))) return std::nullopt;
    }
  }
  if (parsed.time_text.empty() || parsed.presented.count == 0) return std::nullopt;
  return parsed;
}

std::optional<Presented> parse_standard(std::string_view header) {
  if (header.empty() || header.size() > kMaxSignatureHeaderBytes || header.back() == ' ') return std::nullopt;
  Presented presented;
  while (!header.empty()) {
    std::string_view value = take_until(header, ' ');
    if (value.find(',') == std::string_view::npos) return std::nullopt;
    const std::string_view version = take_until(value, ',');
    if (version == "v1" && !presented.add(decode_base64(value))) return std::nullopt;
  }
  if (presented.count == 0) return std::nullopt;
  return presented;
}

bool is_webhook_id(std::string_view id) {
  return !id.empty() && id.size() <= kMaxWebhookIdBytes &&
         std::ranges::all_of(id, [](char c) { return c > ' ' && c < '\x7f' && c != '.'; });
}

}  // namespace

std::string_view to_string(Verdict verdict) noexcept {
  switch (verdict) {
    case Verdict::genuine: return "genuine";
    case Verdict::malformed: return "malformed";
    case Verdict::bad_signature: return "bad_signature";
    case Verdict::stale: return "stale";
  }
  return "unknown";
}

std::string sign_stripe(std::string_view secret, std::string_view body, WallTime now) {
  const std::string time = seconds_of(now);
  return "t=" + time + ",v1=" + encode_hex(hmac_sha256(secret, {time, ".", body}));
}

Verdict verify_stripe(std::span<const std::string> secrets, std::string_view header, std::string_view body,
                      WallTime now, Duration tolerance) {
  const auto parsed = parse_stripe(header);
  if (!parsed) return Verdict::malformed;
  bool matched = false;
  for (const std::string& secret : secrets.first(std::min(secrets.size(), kMaxSecrets))) {
    const Sha256Digest expected = hmac_sha256(secret, {parsed->time_text, ".", body});
    const bool same = parsed->presented.has(expected);
    matched = (same && !secret.empty()) || matched;
  }
  return verdict_of(matched, parsed->time, now, tolerance);
}

StandardSecret StandardSecret::make(Random& random) {
  std::string key(kMadeKeyBytes, '\0');
  random.fill_secret(std::as_writable_bytes(std::span(key)));
  return StandardSecret(std::move(key));
}

std::optional<StandardSecret> StandardSecret::parse(std::string_view text) {
  if (!text.starts_with(kSecretPrefix)) return std::nullopt;
  auto key = decode_base64(text.substr(kSecretPrefix.size()));
  if (!key || key->size() < kMinKeyBytes || key->size() > kMaxKeyBytes) return std::nullopt;
  return StandardSecret(std::move(*key));
}

std::string StandardSecret::text() const {
  return std::string(kSecretPrefix) + encode_base64(as_bytes(key_));
}

StandardHeaders sign_standard(std::span<const StandardSecret> secrets, std::string_view id,
                              std::string_view body, WallTime now) {
  if (!is_webhook_id(id) || secrets.empty() || secrets.size() > kMaxSecrets) {
    throw Error(ErrorCode::invalid_argument, "A webhook is signed with 1 to 8 secrets and a visible id.")
        .cause("id of " + std::to_string(id.size()) + " bytes, " + std::to_string(secrets.size()) +
               " secrets");
  }
  StandardHeaders headers{.id = std::string(id), .timestamp = seconds_of(now), .signature = {}};
  for (const StandardSecret& secret : secrets) {
    if (!headers.signature.empty()) headers.signature += ' ';
    headers.signature += "v1,";
    headers.signature +=
        encode_base64(hmac_sha256(secret.key(), {headers.id, ".", headers.timestamp, ".", body}));
  }
  return headers;
}

Verdict verify_standard(std::span<const StandardSecret> secrets, const StandardHeaders& headers,
                        std::string_view body, WallTime now, Duration tolerance) {
  const auto time = time_of(headers.timestamp);
  const auto presented = parse_standard(headers.signature);
  if (!time || !presented || !is_webhook_id(headers.id)) return Verdict::malformed;
  bool matched = false;
  for (const StandardSecret& secret : secrets.first(std::min(secrets.size(), kMaxSecrets))) {
    matched =
        presented->has(hmac_sha256(secret.key(), {headers.id, ".", headers.timestamp, ".", body})) || matched;
  }
  return verdict_of(matched, *time, now, tolerance);
}

}  // namespace holdfast::webhooks
