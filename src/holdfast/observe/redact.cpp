#include "holdfast/observe/redact.hpp"

#include <array>
#include <cstdint>

namespace holdfast::observe {

namespace {

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

constexpr bool alphanumeric(char c) noexcept {
  return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

/// Of an e-mail's local part (RFC 5321's atoms, without the exotic ones) …
constexpr bool in_local_part(char c) noexcept {
  return alphanumeric(c) || c == '.' || c == '_' || c == '+' || c == '-' || c == '%' || c == '\'';
}

/// … and of its domain.
constexpr bool in_domain(char c) noexcept { return alphanumeric(c) || c == '.' || c == '-'; }

/// What a credential is written with: RFC 6750's b64token, and a little more to be safe.
constexpr bool in_credential(char c) noexcept {
  return alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~' || c == '+' || c == '/' ||
         c == '=' || c == ':' || c == '*';
}

constexpr std::array<std::string_view, 14> kSecretWords = {
    "password", "passwd",        "passphrase", "privatekey", "pwd",    "secret",     "sessionid",
    "token",    "authorization", "apikey",     "accesskey",  "cookie", "credential", "cardnumber"};

/// Whether `text` at `at` begins with `word`, ignoring case, `_` and `-` in the text.
bool word_at(std::string_view text, std::size_t at, std::string_view word) noexcept {
  for (const char expected : word) {
    while (at < text.size() && (text[at] == '_' || text[at] == '-')) ++at;
    if (at == text.size() || lower(text[at]) != expected) return false;
    ++at;
  }
  return true;
}

bool begins_with_ignoring_case(std::string_view text, std::string_view prefix) noexcept {
  if (text.size() < prefix.size()) return false;
  for (std::size_t i = 0; i < prefix.size(); ++i) {
    if (lower(text[i]) != prefix[i]) return false;
  }
  return true;
}

/// Where the credential of an authorization scheme that stands at `at` begins; 0 where there is none.
std::size_t credential_after(std::string_view text, std::size_t at) noexcept {
  if (at > 0 && alphanumeric(text[at - 1])) return 0;
  for (const std::string_view scheme : {"bearer", "basic"}) {
    if (!begins_with_ignoring_case(text.substr(at), scheme)) continue;
    std::size_t begin = at + scheme.size();
    const std::size_t spaces = begin;
    while (begin < text.size() && (text[begin] == ' ' || text[begin] == '\t')) ++begin;
    if (begin == spaces || begin == text.size() || !in_credential(text[begin])) return 0;
    return begin;
  }
  return 0;
}

struct Span {
  std::size_t begin;
  std::size_t end;
};

/// The address around the '@' at `at`; empty where it is none. Its local part begins at `from` or later.
Span address_around(std::string_view text, std::size_t at, std::size_t from) noexcept {
  std::size_t begin = at;
  while (begin > from && in_local_part(text[begin - 1])) --begin;
  std::size_t end = at + 1;
  bool dotted = false;
  while (end < text.size() && in_domain(text[end])) dotted |= text[end++] == '.';
  if (begin == at || end == at + 1 || !dotted) return {at, at};
  return {begin, end};
}

}  // namespace

bool names_a_secret(std::string_view name) noexcept {
  for (std::size_t at = 0; at < name.size(); ++at) {
    switch (lower(name[at])) {
      case 'p':
      case 's':
      case 't':
      case 'a':
      case 'c': break;
      default: continue;
    }
    for (const std::string_view word : kSecretWords) {
      if (word[0] == lower(name[at]) && word_at(name, at, word)) return true;
    }
  }
  return false;
}

bool needs_redaction(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '@') {
      if (const Span span = address_around(text, at, 0); span.begin != span.end) return true;
    } else if ((c == 'b' || c == 'B') && credential_after(text, at) != 0) {
      return true;
    }
  }
  return false;
}

std::string redact(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::size_t copied = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '@') {
      const Span span = address_around(text, at, copied);
      if (span.begin == span.end) continue;
      out.append(text.substr(copied, span.begin + 1 - copied)).append(kMasked);
      out.append(text.substr(at, span.end - at));
      copied = span.end;
      at = span.end - 1;
    } else if (c == 'b' || c == 'B') {
      const std::size_t begin = credential_after(text, at);
      if (begin == 0) continue;
      out.append(text.substr(copied, begin - copied)).append(kMasked);
      std::size_t end = begin;
      while (end < text.size() && in_credential(text[end])) ++end;
      copied = end;
      at = end - 1;
    }
  }
  out.append(text.substr(copied));
  return out;
}

}  // namespace holdfast::observe
