#include "holdfast/blob/internal/checks.hpp"

#include <algorithm>

#include "holdfast/base/encoding.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::blob {
namespace {

[[noreturn]] void refuse(std::string_view reason, std::string detail) {
  throw Error(ErrorCode::invalid_argument, std::move(detail)).reason(std::string(reason));
}

bool metadata_name(std::string_view name) {
  return !name.empty() && !name.starts_with("holdfast-") && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

// No blanks at the ends: HTTP would lose them.
bool header_value(std::string_view value) {
  return !value.starts_with(' ') && !value.ends_with(' ') &&
         std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

void require_put(std::string_view name, const PutOptions& options) {
  require_name(name);
  std::size_t bytes = 0;
  for (const auto& [key, value] : options.metadata) {
    bytes += key.size() + value.size();
    if (!metadata_name(key) || !header_value(value))
      refuse("blob_metadata_invalid",
             "A blob's metadata has names of a-z, 0-9 and '-' (not \"holdfast-…\") and values of printable "
             "ASCII.");
  }
  if (bytes > kMaxMetadataBytes || options.metadata.size() > kMaxMetadataEntries)
    refuse("blob_metadata_invalid", "A blob's metadata has at most " + std::to_string(kMaxMetadataEntries) +
                                        " entries and " + std::to_string(kMaxMetadataBytes) + " bytes.");
  if (options.content_type.empty() || options.content_type.size() > kMaxContentTypeBytes ||
      !header_value(options.content_type))
    refuse("blob_content_type_invalid", "A blob's content type is 1 to 255 characters of ASCII.");
  if (options.sha256 && (options.sha256->size() != 64 || !decode_hex(*options.sha256) ||
                         std::ranges::any_of(*options.sha256, [](char c) { return c >= 'A' && c <= 'F'; })))
    refuse("blob_checksum_invalid", "A blob's SHA-256 is 64 digits of lower-case hex.");
}

Error not_found(std::string_view name) {
  return Error(ErrorCode::not_found, "There is no blob of that name.")
      .reason("blob_not_found")
      .cause(std::string(name));
}

Error exists(std::string_view name) {
  return Error(ErrorCode::conflict, "There is a blob of that name already.")
      .reason("blob_exists")
      .cause(std::string(name));
}

Error changed(std::string_view name) {
  return Error(ErrorCode::conflict, "The blob was replaced while it was read; read it again.")
      .reason("blob_changed")
      .cause(std::string(name));
}

Error damaged(std::string_view name, std::string_view why) {
  return Error(ErrorCode::internal, "A stored blob is not what was put there.")
      .reason("blob_checksum_mismatch")
      .cause(std::string(name).append(": ").append(why));
}

std::string sha256_of(std::string_view bytes) {
  Sha256 hash;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kPieceBytes))) {
    hash.update(bytes.substr(0, kPieceBytes));
    if (runtime::on_fiber()) runtime::yield();
  }
  return encode_hex(hash.finish());
}

Range range_of(const GetOptions& options, std::uint64_t size) {
  if (options.offset > size)
    refuse("blob_range_invalid", "The blob has " + std::to_string(size) + " bytes; reading was to begin at " +
                                     std::to_string(options.offset) + ".");
  const std::uint64_t left = size - options.offset;
  const std::uint64_t length = std::min(left, options.length.value_or(left));
  return {.offset = options.offset, .length = length, .whole = length == size};
}

std::string Measured::finish(const PutOptions& options) {
  if (options.size && *options.size != size_)
    refuse("blob_size_mismatch", "What was to be stored has " + std::to_string(size_) + " bytes, not " +
                                     std::to_string(*options.size) + " as was said.");
  std::string sha256 = encode_hex(hash_.finish());
  if (options.sha256 && *options.sha256 != sha256)
    refuse("blob_checksum_mismatch",
           "What was to be stored has the SHA-256 " + sha256 + ", not " + *options.sha256 + " as was said.");
  return sha256;
}

}  // namespace holdfast::blob
