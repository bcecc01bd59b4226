#include "holdfast/blob/internal/sigv4.hpp"

#include <algorithm>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/hmac.hpp"
#include "holdfast/base/time_text.hpp"

namespace holdfast::blob {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string escape(std::string_view text, bool keep_slash) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || (keep_slash && c == '/');
    if (plain) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.append({'%', kDigits[byte >> 4], kDigits[byte & 15]});
    }
  }
  return out;
}

std::string_view bytes_of(const Sha256Digest& digest) noexcept {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

/// Without blanks at the ends, runs of blanks as one.
std::string trimmed(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const bool blank = c == ' ' || c == '\t';
    if (!blank) out.push_back(c);
    if (blank && !out.empty() && out.back() != ' ') out.push_back(' ');
  }
  if (out.ends_with(' ')) out.pop_back();
  return out;
}

struct CanonicalHeaders {
  std::string lines;
  std::string names;
};

CanonicalHeaders canonical_headers(const SignedRequest& request) {
  std::vector<std::pair<std::string, std::string>> headers;
  for (const auto& [name, value] : request.headers) {
    std::string lower = name;
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    headers.emplace_back(std::move(lower), trimmed(value));
  }
  std::ranges::sort(headers);
  CanonicalHeaders out;
  for (const auto& [name, value] : headers) {
    out.lines += name + ':' + value + '\n';
    out.names += (out.names.empty() ? "" : ";") + name;
  }
  return out;
}

}  // namespace

std::string escape_path(std::string_view path) { return escape(path, true); }
std::string escape_query(std::string_view text) { return escape(text, false); }

std::string canonical_query(std::vector<std::pair<std::string, std::string>> query) {
  for (auto& [name, value] : query) {
    name = escape_query(name);
    value = escape_query(value);
  }
  std::ranges::sort(query);
  std::string out;
  for (const auto& [name, value] : query) out += (out.empty() ? "" : "&") + name + '=' + value;
  return out;
}

std::string amz_date(WallTime now) {
  std::string date;
  for (const char c : format_rfc3339(std::chrono::floor<std::chrono::seconds>(now))) {
    if (c != '-' && c != ':') date.push_back(c);
  }
  return date;
}

Signed sign(const SignedRequest& request, const SigningKey& key, const SigningScope& scope, WallTime now) {
  const CanonicalHeaders headers = canonical_headers(request);
  const std::string canonical = request.method + '\n' + request.path + '\n' + canonical_query(request.query) +
                                '\n' + headers.lines + '\n' + headers.names + '\n' + request.payload_sha256;
  const std::string date = amz_date(now);
  const std::string day = date.substr(0, 8);
  const std::string scope_text =
      day + '/' + std::string(scope.region) + '/' + std::string(scope.service) + "/aws4_request";
  const std::string to_sign =
      std::string(kAlgorithm) + '\n' + date + '\n' + scope_text + '\n' + encode_hex(sha256(canonical));

  Sha256Digest derived = hmac_sha256("AWS4" + std::string(key.secret_access_key), day);
  for (const std::string_view part : {scope.region, scope.service, std::string_view("aws4_request")})
    derived = hmac_sha256(bytes_of(derived), part);

  Signed out;
  out.signature = encode_hex(hmac_sha256(bytes_of(derived), to_sign));
  out.authorization = std::string(kAlgorithm) + " Credential=" + std::string(key.access_key_id) + '/' +
                      scope_text + ",SignedHeaders=" + headers.names + ",Signature=" + out.signature;
  return out;
}

}  // namespace holdfast::blob
