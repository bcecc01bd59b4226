// Store: the port to blob storage: large, immutable-by-habit values under names, streamed in and out.
// Adapters: memory_store.hpp (tests), files_store.hpp (one machine), s3_store.hpp (S3 and what speaks it).
//
//   TextReader text(csv);
//   store.put(ctx, "exports/2026-01.csv", text, {.content_type = "text/csv", .if_absent = true});
//   store.get(ctx, "exports/2026-01.csv", [&](const Context& ctx, std::string_view piece) { out.write(ctx,
//   piece); });
//
// A put is seen whole or not at all, also after a crash; a get sees one put's bytes, verified against their
// SHA-256. Errors: not_found "blob_not_found", conflict "blob_exists" / "blob_changed", unavailable,
// internal "blob_checksum_mismatch" (read), invalid_argument (a bad name; what is put is not what was said).
// Thread-safety: any fiber.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "holdfast/base/clock.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::blob {

inline constexpr std::size_t kMaxNameBytes = 512;
inline constexpr std::size_t kMaxSegmentBytes = 80;     ///< between two '/'; a file's name, once escaped
inline constexpr std::size_t kMaxMetadataBytes = 1024;  ///< names and values together
inline constexpr std::size_t kMaxMetadataEntries = 32;
inline constexpr std::size_t kMaxContentTypeBytes = 255;
inline constexpr std::size_t kMaxPage = 1000;

/// Names of lower-case letters, digits and '-'; values of printable ASCII: what travels in HTTP headers.
/// Names that begin with "holdfast-" are the adapters' own.
using Metadata = std::map<std::string, std::string, std::less<>>;

/// Bytes that are pulled.
class Reader {
 public:
  virtual ~Reader() = default;
  /// The next piece, valid until the next call; empty at the end. May wait.
  virtual std::string_view read(const Context& ctx) = 0;
};

/// Of a text that outlives it.
class TextReader final : public Reader {
 public:
  explicit TextReader(std::string_view text) noexcept : left_(text) {}
  std::string_view read(const Context& ctx) override;

 private:
  std::string_view left_;
};

/// Takes pieces in their order; may wait, which is backpressure. A piece is valid until it returns.
using Sink = std::function<void(const Context&, std::string_view piece)>;

struct Info {
  std::string name;
  std::uint64_t size = 0;
  /// 64 hex digits. Empty where the store doesn't know it (S3: made by others, or put in parts with no
  /// PutOptions::sha256): then only the transfer is checked, not the whole.
  std::string sha256;
  std::string content_type;
  Metadata metadata;
  WallTime modified_at{};  ///< by the store's clock; S3's has whole seconds
};

struct PutOptions {
  std::optional<std::uint64_t> size = {};  ///< where known; another size is refused "blob_size_mismatch"
  std::optional<std::string> sha256 = {};  ///< hex, where known; others are refused "blob_checksum_mismatch"
  std::string content_type = "application/octet-stream";
  Metadata metadata = {};
  bool if_absent = false;  ///< Error(conflict, "blob_exists") where there is one of that name already
};

struct GetOptions {
  std::uint64_t offset = 0;                  ///< at most the size
  std::optional<std::uint64_t> length = {};  ///< to the end unless set. A part is not verified as a whole is
};

struct Listed {
  std::string name;
  std::uint64_t size = 0;
  WallTime modified_at{};
};

struct Page {
  std::vector<Listed> blobs;  ///< ascending by the bytes of their names
  std::string next;           ///< give it as `after` for what follows; empty: that was all
};

class Store {
 public:
  virtual ~Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Reads `bytes` to their end, in constant memory. Durable when it returns. Where it throws nothing is
  /// there under that name but what was before; Error(unavailable / deadline_exceeded) of a remote store
  /// leaves open whether it is.
  virtual Info put(const Context& ctx, std::string_view name, Reader& bytes,
                   const PutOptions& options = {}) = 0;

  /// Streams it to `sink`, in constant memory. What `sink` throws passes through. A mismatch is found at
  /// the end: believe what was received only once this has returned.
  virtual Info get(const Context& ctx, std::string_view name, const Sink& sink,
                   const GetOptions& options = {}) = 0;

  virtual std::optional<Info> head(const Context& ctx, std::string_view name) = 0;

  /// No error where there is none.
  virtual void remove(const Context& ctx, std::string_view name) = 0;

  /// Those whose names begin with `prefix` and come after `after`; at most min(limit, kMaxPage), at least 1.
  virtual Page list(const Context& ctx, std::string_view prefix, std::string_view after = {},
                    std::size_t limit = kMaxPage) = 0;

 protected:
  Store() = default;
};

/// All of it in memory. Error(too_large, "blob_too_large") over `max_bytes`.
std::string get_text(const Context& ctx, Store& store, std::string_view name, std::size_t max_bytes);
Info put_text(const Context& ctx, Store& store, std::string_view name, std::string_view text,
              PutOptions options = {});

/// Throws Error(invalid_argument, "blob_name_invalid"): a name has 1 to kMaxNameBytes bytes of UTF-8 without
/// control characters; its segments between '/' are not empty, "." or "..".
void require_name(std::string_view name);

}  // namespace holdfast::blob
