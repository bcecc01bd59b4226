// Identifiers that say what they are of and sort by when they were made: `ord_` and 26 characters of
// base32 over a UUIDv7 (RFC 9562). Sixteen bytes; a type for each kind, so that they can't be mixed up.
//
//   using OrderId = Id<"ord">;
//   IdGenerator ids(clock, random);          // one a process
//   const OrderId id = ids.make<OrderId>();  // to_text(id): "ord_01jb…"
//
// Not secrets: whoever has one can guess others. Thread-safety: an IdGenerator may be used from any thread.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/encoding.hpp"
#include "holdfast/base/random.hpp"
#include "holdfast/base/text_form.hpp"

namespace holdfast {

/// A string literal as a template argument.
template <std::size_t N>
struct FixedString {
  char chars[N] = {};
  consteval FixedString(const char (&literal)[N]) { std::copy_n(literal, N, chars); }  // NOLINT: implicit
  constexpr std::string_view view() const { return {chars, N - 1}; }
};

template <FixedString Prefix>
class Id {
 public:
  static constexpr std::string_view kPrefix = Prefix.view();
  static constexpr std::size_t kTextLength = kPrefix.size() + 1 + kBase32Length;

  /// The nil id: no thing has it.
  constexpr Id() noexcept : bytes_{} {}
  explicit constexpr Id(const Bytes16& bytes) noexcept : bytes_(bytes) {}

  /// Exactly the text that text() makes; nothing otherwise.
  static std::optional<Id> parse(std::string_view text) {
    if (text.size() != kTextLength || !text.starts_with(kPrefix) || text[kPrefix.size()] != '_') {
      return std::nullopt;
    }
    const auto bytes = decode_base32(text.substr(kPrefix.size() + 1));
    if (!bytes) return std::nullopt;
    return Id(*bytes);
  }

  std::string text() const {
    std::string out;
    append_to(out);
    return out;
  }
  void append_to(std::string& out) const {
    out.append(kPrefix).push_back('_');
    append_base32(out, bytes_);
  }

  constexpr const Bytes16& bytes() const noexcept { return bytes_; }
  constexpr bool is_nil() const noexcept { return *this == Id(); }

  auto operator<=>(const Id&) const = default;  // by time of making, for ids of one generator

 private:
  Bytes16 bytes_;
};

/// Makes ids that are unique, and ascending within this generator even when the clock stands or goes
/// back (RFC 9562, 6.2, method 2: the random part counts up within a millisecond).
class IdGenerator {
 public:
  /// Both are borrowed.
  IdGenerator(const Clock& clock, Random& random) noexcept : clock_(clock), random_(random) {}

  template <class IdType>
  IdType make() {
    return IdType(next());
  }

  /// The bare UUIDv7.
  Bytes16 next();

 private:
  const Clock& clock_;
  Random& random_;
  std::mutex mutex_;
  std::uint64_t milliseconds_ = 0;
  std::uint64_t high_ = 0;  // 12 bits after the version
  std::uint64_t low_ = 0;   // 62 bits after the variant
};

template <FixedString Prefix>
struct TextForm<Id<Prefix>> {
  static void append(std::string& out, const Id<Prefix>& id) { id.append_to(out); }
  static std::optional<Id<Prefix>> parse(std::string_view text) { return Id<Prefix>::parse(text); }

 private:
  template <std::size_t... Parts>
  struct Joined {
    char chars[(Parts + ... + 0)] = {};
  };
  static constexpr std::string_view kClass = "_[0-7][0-9a-hjkmnp-tv-z]{25}$";
  static constexpr std::string_view kWhat = "an id such as ";
  static constexpr std::string_view kSample = "_01jz3s4m5e6f7g8h9jakbmcndp";

  // Texts made at compile time: "^ord_[…]{25}$", "ord_01jz…", "an id such as ord_01jz…".
  template <std::size_t Size>
  static constexpr auto join(std::string_view a, std::string_view b, std::string_view c) {
    Joined<Size> joined;
    char* at = std::copy(a.begin(), a.end(), joined.chars);
    at = std::copy(b.begin(), b.end(), at);
    std::copy(c.begin(), c.end(), at);
    return joined;
  }
  static constexpr std::size_t kPrefixSize = Prefix.view().size();
  static constexpr auto kPattern = join<1 + kPrefixSize + kClass.size()>("^", Prefix.view(), kClass);
  static constexpr auto kMessage =
      join<kWhat.size() + kPrefixSize + kSample.size()>(kWhat, Prefix.view(), kSample);

 public:
  static constexpr TextSchema schema{
      .what = {kMessage.chars, sizeof kMessage.chars},
      .pattern = {kPattern.chars, sizeof kPattern.chars},
      .example = {kMessage.chars + kWhat.size(), sizeof kMessage.chars - kWhat.size()}};
};

}  // namespace holdfast

template <holdfast::FixedString Prefix>
struct std::hash<holdfast::Id<Prefix>> {
  std::size_t operator()(const holdfast::Id<Prefix>& id) const noexcept {
    std::uint64_t hash = 0;  // the last bytes are the most random ones
    for (std::size_t i = 8; i < 16; ++i) hash = hash << 8 | id.bytes()[i];
    return hash ^ (std::uint64_t{id.bytes()[5]} << 40) ^ (std::uint64_t{id.bytes()[7]} << 20);
  }
};
