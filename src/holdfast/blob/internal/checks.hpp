// What all adapters check alike, and how their failures read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/blob/store.hpp"

namespace holdfast::blob {

/// What is hashed, copied or handed on at a time: some hundred microseconds of work.
inline constexpr std::size_t kPieceBytes = 256 * 1024;

/// Throws Error(invalid_argument) for a name, metadata or options out of their limits.
void require_put(std::string_view name, const PutOptions& options);

/// As require_name(), by value.
bool is_name(std::string_view name);
/// Whether a name could begin so. Partial UTF-8 is not looked for.
bool listable(std::string_view prefix);

Error not_found(std::string_view name);
Error exists(std::string_view name);
Error changed(std::string_view name);
/// Of what was read.
Error damaged(std::string_view name, std::string_view why);

/// SHA-256 in hex; on a fiber it gives others a turn in between.
std::string sha256_of(std::string_view bytes);

/// The range that `options` asks of a blob of `size` bytes. Error(invalid_argument, "blob_range_invalid")
/// for an offset past the end.
struct Range {
  std::uint64_t offset;
  std::uint64_t length;
  bool whole;
};
Range range_of(const GetOptions& options, std::uint64_t size);

/// Counts and hashes what is put, and says at the end whether it is what was said.
class Measured {
 public:
  void add(std::string_view piece) {
    hash_.update(piece);
    size_ += piece.size();
  }
  std::uint64_t size() const noexcept { return size_; }
  /// Once. Throws Error(invalid_argument, "blob_size_mismatch" / "blob_checksum_mismatch").
  std::string finish(const PutOptions& options);

 private:
  Sha256 hash_;
  std::uint64_t size_ = 0;
};

}  // namespace holdfast::blob
