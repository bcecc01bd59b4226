#include "holdfast/blob/store.hpp"

#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/base/utf8.hpp"
#include "holdfast/blob/internal/checks.hpp"

namespace holdfast::blob {
namespace {

/// Why it is none; empty where it is one.
std::string fault_of(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes)
    return "it has " + std::to_string(name.size()) + " bytes; 1 to " + std::to_string(kMaxNameBytes) +
           " are taken.";
  if (!is_valid_utf8(name) || has_control_characters(name))
    return "it must be UTF-8 without control characters.";
  for (;;) {
    const std::size_t slash = name.find('/');
    const std::string_view segment = name.substr(0, slash);
    if (segment.empty() || segment == "." || segment == "..")
      return "a part between slashes is empty, \".\" or \"..\".";
    if (segment.size() > kMaxSegmentBytes)
      return "a part between slashes has more than " + std::to_string(kMaxSegmentBytes) + " bytes.";
    if (slash == std::string_view::npos) return {};
    name.remove_prefix(slash + 1);
  }
}

}  // namespace

std::string_view TextReader::read(const Context&) {
  // In pieces, so that whoever takes them gives others a turn in between.
  const std::string_view piece = left_.substr(0, kPieceBytes);
  left_.remove_prefix(piece.size());
  return piece;
}

void require_name(std::string_view name) {
  const std::string fault = fault_of(name);
  if (fault.empty()) return;
  throw Error(ErrorCode::invalid_argument, "That is no blob's name: " + fault).reason("blob_name_invalid");
}

bool is_name(std::string_view name) { return fault_of(name).empty(); }

bool listable(std::string_view prefix) {
  const std::size_t slash = prefix.rfind('/');
  return is_valid_utf8(prefix) && !has_control_characters(prefix) && prefix.size() <= kMaxNameBytes &&
         (slash == std::string_view::npos || is_name(prefix.substr(0, slash)));
}

std::string get_text(const Context& ctx, Store& store, std::string_view name, std::size_t max_bytes) {
  std::string text;
  store.get(ctx, name, [&](const Context&, std::string_view piece) {
    if (piece.size() > max_bytes - text.size()) {
      throw Error(ErrorCode::too_large,
                  "A blob has more than the " + std::to_string(max_bytes) + " bytes that are taken.")
          .reason("blob_too_large")
          .cause(std::string(name));
    }
    text.append(piece);
  });
  return text;
}

Info put_text(const Context& ctx, Store& store, std::string_view name, std::string_view text,
              PutOptions options) {
  options.size = text.size();
  TextReader reader(text);
  return store.put(ctx, name, reader, options);
}

}  // namespace holdfast::blob
