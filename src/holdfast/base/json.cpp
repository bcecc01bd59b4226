#include "holdfast/base/json.hpp"

#include <algorithm>
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "holdfast/base/error.hpp"
#include "holdfast/base/utf8.hpp"

namespace holdfast {

namespace bj = boost::json;

/// Receives Boost.JSON's parser events. Values wait on a stack until the array or object around them
/// ends; then they are copied, contiguous, into the document's arena.
class JsonBuilder {
 public:
  static constexpr std::size_t max_object_size = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::size_t max_key_size = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::size_t max_string_size = std::numeric_limits<std::uint32_t>::max();

  explicit JsonBuilder(std::size_t text_bytes)
      : next_chunk_(std::clamp<std::size_t>(text_bytes * 3, 512, kMaxChunk)) {
    stack_.reserve(32);
  }

  JsonDocument take() {
    assert(stack_.size() == 1);
    document_.root_ = stack_.back();
    return std::move(document_);
  }
  const std::string& fault() const noexcept { return fault_; }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_array_begin(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code&) { return true; }

  bool on_array_end(std::size_t count, bj::error_code&) {
    assert(stack_.size() >= count);
    auto* const items = allocate<JsonValue>(count);
    const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
    std::uninitialized_copy(first, stack_.end(), items);
    stack_.erase(first, stack_.end());
    JsonValue& value = push(JsonKind::array);
    value.items_ = items;
    value.size_ = static_cast<std::uint32_t>(count);
    return true;
  }

  bool on_object_end(std::size_t count, bj::error_code& ec) {
    assert(stack_.size() >= 2 * count);
    auto* const members = allocate<JsonMember>(count);
    const auto first = stack_.end() - static_cast<std::ptrdiff_t>(2 * count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto key = first + static_cast<std::ptrdiff_t>(2 * i);
      new (members + i) JsonMember{key->as_string(), key[1]};
    }
    stack_.erase(first, stack_.end());
    JsonValue& value = push(JsonKind::object);
    value.members_ = members;
    value.size_ = static_cast<std::uint32_t>(count);
    return check_unique(value.members(), ec);
  }

  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) { return on_part(part); }
  bool on_key(bj::string_view last, std::size_t, bj::error_code&) { return on_text(last); }
  bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) { return on_part(part); }
  bool on_string(bj::string_view last, std::size_t, bj::error_code&) { return on_text(last); }

  // The whole text is given at once, so a number never comes in parts.
  bool on_number_part(bj::string_view, bj::error_code&) { return true; }
  bool on_int64(std::int64_t number, bj::string_view, bj::error_code&) {
    push(JsonKind::int64).integer_ = number;
    return true;
  }
  bool on_uint64(std::uint64_t number, bj::string_view, bj::error_code&) {
    push(JsonKind::uint64).unsigned_ = number;
    return true;
  }
  bool on_double(double approximate, bj::string_view text, bj::error_code& ec) {
    double number = 0;  // Boost 1.81 may be an ulp off, from_chars is exact; too small a number is 0
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    if (result.ec == std::errc::result_out_of_range) number = std::abs(approximate) < 1 ? 0.0 : HUGE_VAL;
    if (!std::isfinite(number)) return refuse("the number is too large", ec);
    push(JsonKind::number).number_ = number;
    return true;
  }
  bool on_bool(bool b, bj::error_code&) {
    push(JsonKind::boolean).boolean_ = b;
    return true;
  }
  bool on_null(bj::error_code&) {
    push(JsonKind::null);
    return true;
  }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  static constexpr std::size_t kMaxChunk = 64 * 1024;
  static constexpr std::size_t kPairwise = 16;  // up to so many members, comparing all pairs is quicker

  JsonValue& push(JsonKind kind) {
    JsonValue& value = stack_.emplace_back();
    value.kind_ = kind;
    return value;
  }

  bool on_part(bj::string_view part) {
    partial_.append(part.data(), part.size());
    return true;
  }

  bool on_text(bj::string_view last) {
    const std::size_t size = partial_.size() + last.size();
    char* const text = allocate<char>(size);
    if (!partial_.empty()) std::memcpy(text, partial_.data(), partial_.size());
    if (!last.empty()) std::memcpy(text + partial_.size(), last.data(), last.size());
    partial_.clear();
    JsonValue& value = push(JsonKind::string);
    value.text_ = text;
    value.size_ = static_cast<std::uint32_t>(size);
    return true;
  }

  bool refuse(std::string fault, bj::error_code& ec) {
    fault_ = std::move(fault);
    ec = bj::error::syntax;
    return false;
  }

  bool check_unique(std::span<const JsonMember> members, bj::error_code& ec) {
    if (members.size() > kPairwise) {
      std::vector<std::string_view> keys;
      keys.reserve(members.size());
      for (const JsonMember& member : members) keys.push_back(member.key);
      std::sort(keys.begin(), keys.end());
      const auto twin = std::adjacent_find(keys.begin(), keys.end());
      return twin == keys.end() || refuse_duplicate(*twin, ec);
    }
    for (std::size_t i = 1; i < members.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (members[i].key == members[j].key) return refuse_duplicate(members[i].key, ec);
      }
    }
    return true;
  }

  bool refuse_duplicate(std::string_view key, bj::error_code& ec) {
    constexpr std::size_t kShown = 64;
    const std::string shown(key.size() > kShown ? std::string_view("…") : key);
    return refuse("the object that ends here has the key \"" + shown + "\" twice", ec);
  }

  template <class T>
  T* allocate(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    at_ = (at_ + alignof(T) - 1) & ~(alignof(T) - 1);
    if (document_.chunks_.empty() || at_ + bytes > chunk_size_) {
      chunk_size_ = std::max(next_chunk_, bytes);
      document_.chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(chunk_size_));
      next_chunk_ = std::min(next_chunk_ * 2, kMaxChunk);
      at_ = 0;
    }
    T* const place = reinterpret_cast<T*>(document_.chunks_.back().get() + at_);
    at_ += bytes;
    return place;
  }

  JsonDocument document_;
  std::vector<JsonValue> stack_;
  std::string partial_;
  std::string fault_;
  std::size_t next_chunk_;
  std::size_t chunk_size_ = 0;
  std::size_t at_ = 0;
};

namespace {

[[noreturn]] void throw_malformed(std::string_view text, std::size_t offset, std::string_view why) {
  const std::string_view before = text.substr(0, offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 == 0
  throw Error(ErrorCode::invalid_argument, "Malformed JSON at line " + std::to_string(line) + ", column " +
                                               std::to_string(offset - line_start + 1) + " (offset " +
                                               std::to_string(offset) + "): " + std::string(why) + ".")
      .reason("malformed_json");
}

// What a byte of a string needs on its way out: 0 nothing, 1 an escape, 2 a look at the sequence.
constexpr auto kByteClass = [] {
  std::array<std::uint8_t, 256> classes{};
  for (std::size_t c = 0; c < 0x20; ++c) classes[c] = 1;
  classes['"'] = classes['\\'] = 1;
  for (std::size_t c = 0x80; c < 0x100; ++c) classes[c] = 2;
  return classes;
}();

void append_escape(std::string& out, char c) {
  switch (c) {
    case '"': out.append("\\\""); return;
    case '\\': out.append("\\\\"); return;
    case '\b': out.append("\\b"); return;
    case '\f': out.append("\\f"); return;
    case '\n': out.append("\\n"); return;
    case '\r': out.append("\\r"); return;
    case '\t': out.append("\\t"); return;
    default: break;
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out.append("\\u00").push_back(kHex[byte >> 4]);
  out.push_back(kHex[byte & 15]);
}

void append_quoted(std::string& out, std::string_view text) {
  out.push_back('"');
  std::size_t plain = 0;  // where the stretch that needs no change began
  std::size_t at = 0;
  while (at < text.size()) {
    const std::uint8_t kind = kByteClass[static_cast<unsigned char>(text[at])];
    if (kind == 0) {
      ++at;
      continue;
    }
    const std::size_t sequence = kind == 2 ? utf8_sequence(text.substr(at)) : 0;
    if (sequence != 0) {
      at += sequence;
      continue;
    }
    out.append(text, plain, at - plain);
    if (kind == 1) {
      append_escape(out, text[at]);
    } else {
      out.append("\xEF\xBF\xBD");
    }
    plain = ++at;
  }
  out.append(text, plain, at - plain);
  out.push_back('"');
}

// Depth is bounded by the limit the tree was parsed with.
void write_tree(JsonWriter& writer, const JsonValue& tree, bool sorted) {
  switch (tree.kind()) {
    case JsonKind::null: writer.null(); return;
    case JsonKind::boolean: writer.value(tree.as_bool()); return;
    case JsonKind::int64: writer.value(tree.as_int64()); return;
    case JsonKind::uint64: writer.value(tree.as_uint64()); return;
    case JsonKind::number: writer.value(tree.as_double()); return;
    case JsonKind::string: writer.value(tree.as_string()); return;
    case JsonKind::array:
      writer.begin_array();
      for (const JsonValue& item : tree.items()) write_tree(writer, item, sorted);
      writer.end_array();
      return;
    case JsonKind::object: break;
  }
  writer.begin_object();
  if (sorted) {
    std::vector<const JsonMember*> order;
    order.reserve(tree.members().size());
    for (const JsonMember& member : tree.members()) order.push_back(&member);
    std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->key < b->key; });
    for (const JsonMember* member : order) write_tree(writer.key(member->key), member->value, sorted);
  } else {
    for (const JsonMember& member : tree.members()) write_tree(writer.key(member.key), member.value, sorted);
  }
  writer.end_object();
}

}  // namespace

std::string_view name_of(JsonKind kind) noexcept {
  switch (kind) {
    case JsonKind::null: return "null";
    case JsonKind::boolean: return "a boolean";
    case JsonKind::int64:
    case JsonKind::uint64:
    case JsonKind::number: return "a number";
    case JsonKind::string: return "a string";
    case JsonKind::array: return "an array";
    case JsonKind::object: return "an object";
  }
  return "unknown";
}

const JsonValue* JsonValue::find(std::string_view key) const noexcept {
  if (kind_ != JsonKind::object) return nullptr;
  for (const JsonMember& member : members()) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

JsonDocument JsonDocument::parse(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    throw Error(ErrorCode::too_large, "The JSON has " + std::to_string(text.size()) +
                                          " bytes; the limit is " + std::to_string(limits.max_bytes) + ".")
        .reason("json_too_large");
  }
  bj::parse_options options;
  options.max_depth = limits.max_depth;
  bj::basic_parser<JsonBuilder> parser(options, text.size());
  bj::error_code ec;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), ec);
  if (!ec && read < text.size()) ec = bj::error::extra_data;
  if (ec == bj::error::too_deep) {
    throw_malformed(text, read, "nested deeper than " + std::to_string(limits.max_depth) + " levels");
  }
  const std::string& fault = parser.handler().fault();
  if (ec) throw_malformed(text, read, fault.empty() ? ec.message() : fault);
  return parser.handler().take();
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  append_quoted(out_, name);
  out_.push_back(':');
  need_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::value(double number) {
  if (!std::isfinite(number)) return null();
  if (number == 0) return value(0);  // -0 too, as in RFC 8785: it would be read back as the integer
  separate();
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  out_.append(digits, end);
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  separate();
  append_quoted(out_, text);
  return *this;
}

JsonWriter& JsonWriter::value(const JsonValue& tree) {
  write_tree(*this, tree, false);
  return *this;
}

std::string canonical_json(const JsonValue& tree) {
  std::string out;
  JsonWriter writer(out);
  write_tree(writer, tree, true);
  return out;
}

JsonText::JsonText(const JsonValue& tree) {
  text_.clear();
  JsonWriter(text_).value(tree);
}

JsonText JsonText::parse(std::string_view json, const JsonLimits& limits) {
  return JsonText(JsonDocument::parse(json, limits).root());
}

JsonText JsonText::trusted(std::string json) {
  JsonText text;
  text.text_ = std::move(json);
  return text;
}

}  // namespace holdfast
