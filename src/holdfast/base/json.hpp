// JSON as it is read and written at the edges. JsonDocument parses a whole text, strictly (RFC 8259,
// valid UTF-8, no duplicate keys, nothing after the value), into JsonValues that live as long as it
// does. JsonWriter appends JSON to a string. Most code wants neither: see base/reflect.hpp.
//
//   JsonDocument document = JsonDocument::parse(body);
//   if (const JsonValue* sku = document.root().find("sku")) … sku->as_string() …
//
// Thread-safety: a document is immutable after parsing; a writer belongs to one thread.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast {

/// What a text may cost before it is refused.
struct JsonLimits {
  std::size_t max_bytes = 1024 * 1024;  ///< of the text; a document takes up to about 17 times as much
  std::size_t max_depth = 64;           ///< arrays and objects within each other
};

enum class JsonKind : std::uint8_t { null, boolean, int64, uint64, number, string, array, object };

/// "a string", "an object" …, for messages.
std::string_view name_of(JsonKind kind) noexcept;

struct JsonMember;

/// A value within a JsonDocument. The as_…() functions require the kind they name.
class JsonValue {
 public:
  constexpr JsonValue() noexcept : integer_(0) {}

  JsonKind kind() const noexcept { return kind_; }
  bool is_null() const noexcept { return kind_ == JsonKind::null; }
  bool is_string() const noexcept { return kind_ == JsonKind::string; }
  bool is_array() const noexcept { return kind_ == JsonKind::array; }
  bool is_object() const noexcept { return kind_ == JsonKind::object; }

  bool as_bool() const noexcept { return boolean_; }
  std::int64_t as_int64() const noexcept { return integer_; }
  /// Kind uint64 is used only for what int64 can't hold.
  std::uint64_t as_uint64() const noexcept { return unsigned_; }
  double as_double() const noexcept { return number_; }
  std::string_view as_string() const noexcept { return {text_, size_}; }
  std::span<const JsonValue> items() const noexcept { return {items_, size_}; }
  /// In source order; keys are unique.
  std::span<const JsonMember> members() const noexcept;

  /// The member's value, or null where there is none or this is no object.
  const JsonValue* find(std::string_view key) const noexcept;

 private:
  friend class JsonBuilder;

  JsonKind kind_ = JsonKind::null;
  std::uint32_t size_ = 0;  // of a string, an array, an object
  union {
    bool boolean_;
    std::int64_t integer_;
    std::uint64_t unsigned_;
    double number_;
    const char* text_;
    const JsonValue* items_;
    const JsonMember* members_;
  };
};

struct JsonMember {
  std::string_view key;
  JsonValue value;
};

inline std::span<const JsonMember> JsonValue::members() const noexcept { return {members_, size_}; }

class JsonDocument {
 public:
  /// Copies what it needs of `text`. Throws Error: invalid_argument/"malformed_json" with line, column
  /// and offset in the detail; too_large/"json_too_large" over max_bytes.
  static JsonDocument parse(std::string_view text, const JsonLimits& limits = {});

  const JsonValue& root() const noexcept { return root_; }

 private:
  friend class JsonBuilder;
  JsonDocument() = default;

  JsonValue root_;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;  // every value, key and string; never moves
};

/// Appends JSON to `out`; commas and quotes are its business, balance is the caller's. What it writes is
/// valid UTF-8 even where a string given to it is not (U+FFFD takes the place of what is malformed).
class JsonWriter {
 public:
  /// `out` is borrowed.
  explicit JsonWriter(std::string& out) noexcept : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }

  JsonWriter& key(std::string_view name);
  /// A key known at compile time, as `"name":` with quotes and colon.
  JsonWriter& quoted_key(std::string_view quoted_name_and_colon) {
    separate();
    out_.append(quoted_name_and_colon);
    need_comma_ = false;
    return *this;
  }

  JsonWriter& null() { return literal("null"); }
  JsonWriter& value(bool b) { return literal(b ? "true" : "false"); }
  template <std::integral I>
  requires(!std::same_as<I, bool> && !std::same_as<I, char>) JsonWriter& value(I number) {
    separate();
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
    out_.append(digits, end);
    return *this;
  }
  /// Shortest form that reads back the same; null where it is not finite.
  JsonWriter& value(double number);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  /// Compact, members in their order.
  JsonWriter& value(const JsonValue& tree);
  /// Text that is JSON already.
  JsonWriter& raw(std::string_view json) { return literal(json); }

  template <class T>
  JsonWriter& member(std::string_view name, const T& v) {
    key(name);
    return value(v);
  }

 private:
  void separate() {
    if (need_comma_) out_.push_back(',');
    need_comma_ = true;
  }
  JsonWriter& open(char bracket) {
    separate();
    out_.push_back(bracket);
    need_comma_ = false;
    return *this;
  }
  JsonWriter& close(char bracket) {
    out_.push_back(bracket);
    need_comma_ = true;
    return *this;
  }
  JsonWriter& literal(std::string_view text) {
    separate();
    out_.append(text);
    return *this;
  }

  std::string& out_;
  bool need_comma_ = false;
};

/// `tree` with the members of every object sorted by key (bytes) and no white space: two texts that mean
/// the same become one. For fingerprints (after RFC 8785, which sorts by UTF-16 units instead).
std::string canonical_json(const JsonValue& tree);

/// A piece of JSON carried as compact text: product attributes, event payloads.
class JsonText {
 public:
  JsonText() = default;
  explicit JsonText(const JsonValue& tree);
  /// Throws as JsonDocument::parse does.
  static JsonText parse(std::string_view json, const JsonLimits& limits = {});
  /// Takes text that a JsonText or a JsonWriter made; not checked.
  static JsonText trusted(std::string json);

  const std::string& text() const noexcept { return text_; }
  bool operator==(const JsonText&) const = default;

 private:
  std::string text_ = "null";
};

}  // namespace holdfast
