#include "holdfast/blob/internal/xml.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/base/utf8.hpp"

namespace holdfast::blob {
namespace {

[[noreturn]] void malformed(std::string why) {
  throw Error(ErrorCode::unavailable, "The blob store's answer can't be read.")
      .reason("blob_store_answer_malformed")
      .cause(std::move(why));
}

bool blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool name_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.' || c == ':';
}

void append_utf8(std::string& out, std::uint32_t point) {
  const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0 | point >> 6), put(0x80 | (point & 0x3F));
  } else if (point < 0x10000) {
    put(0xE0 | point >> 12), put(0x80 | (point >> 6 & 0x3F)), put(0x80 | (point & 0x3F));
  } else {
    put(0xF0 | point >> 18), put(0x80 | (point >> 12 & 0x3F));
    put(0x80 | (point >> 6 & 0x3F)), put(0x80 | (point & 0x3F));
  }
}

/// `entity` is what stands between '&' and ';'.
void append_entity(std::string& out, std::string_view entity) {
  static constexpr std::array<std::pair<std::string_view, char>, 5> kNamed{
      {{"lt", '<'}, {"gt", '>'}, {"amp", '&'}, {"quot", '"'}, {"apos", '\''}}};
  for (const auto& [name, c] : kNamed) {
    if (entity == name) return out.push_back(c);
  }
  if (!entity.starts_with('#')) malformed("an unknown entity");
  entity.remove_prefix(1);
  const bool hex = entity.starts_with('x');
  if (hex) entity.remove_prefix(1);
  std::uint32_t point = 0;
  const auto [end, error] =
      std::from_chars(entity.data(), entity.data() + entity.size(), point, hex ? 16 : 10);
  const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
  if (error != std::errc() || end != entity.data() + entity.size() || point == 0 || point > 0x10FFFF ||
      surrogate)
    malformed("a character reference to no character");
  append_utf8(out, point);
}

class Parser {
 public:
  Parser(std::string_view text, const XmlLimits& limits) : left_(text), limits_(limits) {}

  XmlElement document() {
    if (left_.starts_with("\xEF\xBB\xBF")) left_.remove_prefix(3);
    if (left_.starts_with("<?xml ")) {
      const std::size_t end = left_.find("?>");
      if (end == std::string_view::npos) malformed("a declaration without an end");
      left_.remove_prefix(end + 2);
    }
    skip_blanks();
    XmlElement root = element(1);
    skip_blanks();
    if (!left_.empty()) malformed("something after the root element");
    return root;
  }

 private:
  XmlElement element(std::size_t depth) {
    if (depth > limits_.max_depth) malformed("elements nested too deep");
    if (++elements_ > limits_.max_elements) malformed("too many elements");
    expect("<");
    const std::string_view full = name();
    XmlElement made{.name = std::string(full.substr(full.rfind(':') + 1)), .text = {}, .children = {}};
    if (attributes()) return made;  // <empty/>
    for (;;) {
      const std::size_t next = left_.find('<');
      if (next == std::string_view::npos) malformed("an element without an end");
      decode(left_.substr(0, next), made.text);
      left_.remove_prefix(next);
      if (left_.starts_with("</")) break;
      made.children.push_back(element(depth + 1));
    }
    expect("</");
    if (name() != full) malformed("an end that is another element's");
    skip_blanks();
    expect(">");
    return made;
  }

  /// To the '>' of a start tag; whether it was "/>".
  bool attributes() {
    for (;;) {
      const bool apart = skip_blanks();
      if (left_.starts_with("/>")) return left_.remove_prefix(2), true;
      if (left_.starts_with('>')) return left_.remove_prefix(1), false;
      if (!apart) malformed("a malformed tag");
      name();
      skip_blanks();
      expect("=");
      skip_blanks();
      if (left_.empty() || (left_[0] != '"' && left_[0] != '\'')) malformed("an attribute without quotes");
      const std::size_t end = left_.find(left_[0], 1);
      if (end == std::string_view::npos || left_.substr(0, end).find('<') != std::string_view::npos)
        malformed("an attribute without an end");
      left_.remove_prefix(end + 1);
    }
  }

  std::string_view name() {
    std::size_t size = 0;
    while (size < left_.size() && name_character(left_[size])) ++size;
    if (size == 0) malformed("a name was expected");
    const std::string_view found = left_.substr(0, size);
    left_.remove_prefix(size);
    return found;
  }

  static void decode(std::string_view text, std::string& out) {
    for (;;) {
      const std::size_t at = text.find('&');
      out.append(text.substr(0, at));
      if (at == std::string_view::npos) return;
      text.remove_prefix(at + 1);
      const std::size_t end = text.substr(0, 12).find(';');
      if (end == std::string_view::npos) malformed("an entity without an end");
      append_entity(out, text.substr(0, end));
      text.remove_prefix(end + 1);
    }
  }

  bool skip_blanks() {
    const std::size_t before = left_.size();
    while (!left_.empty() && blank(left_[0])) left_.remove_prefix(1);
    return left_.size() != before;
  }

  void expect(std::string_view what) {
    if (!left_.starts_with(what)) malformed("\"" + std::string(what) + "\" was expected");
    left_.remove_prefix(what.size());
  }

  std::string_view left_;
  const XmlLimits& limits_;
  std::size_t elements_ = 0;
};

}  // namespace

const XmlElement* XmlElement::find(std::string_view child) const noexcept {
  for (const XmlElement& one : children) {
    if (one.name == child) return &one;
  }
  return nullptr;
}

std::string_view XmlElement::text_of(std::string_view child) const noexcept {
  const XmlElement* const found = find(child);
  return found == nullptr ? std::string_view() : std::string_view(found->text);
}

XmlElement parse_xml(std::string_view text, const XmlLimits& limits) {
  if (text.size() > limits.max_bytes) malformed("over " + std::to_string(limits.max_bytes) + " bytes");
  if (!is_valid_utf8(text)) malformed("not UTF-8");
  return Parser(text, limits).document();
}

std::string escape_xml(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&apos;"; break;
      default: out.push_back(c);
    }
  }
  return out;
}

}  // namespace holdfast::blob
