#include "holdfast/blob/memory_store.hpp"

#include <algorithm>

#include "holdfast/base/encoding.hpp"
#include "holdfast/blob/internal/checks.hpp"

namespace holdfast::blob {

Info MemoryStore::put(const Context& ctx, std::string_view name, Reader& bytes, const PutOptions& options) {
  require_put(name, options);
  auto kept = std::make_shared<Kept>();
  Measured measured;
  for (std::string_view piece; !(piece = bytes.read(ctx)).empty();) {
    if (kept->bytes.size() + piece.size() > max_bytes_)
      throw Error(ErrorCode::unavailable, "The blob store is full.").reason("blob_store_full");
    measured.add(piece);
    kept->bytes.append(piece);
  }
  kept->info = {.name = std::string(name),
                .size = measured.size(),
                .sha256 = measured.finish(options),
                .content_type = options.content_type,
                .metadata = options.metadata,
                .modified_at = clock_.wall_now()};
  const std::lock_guard lock(mutex_);
  const auto at = blobs_.find(name);
  if (at != blobs_.end() && options.if_absent) throw exists(name);
  const std::uint64_t others = total_ - (at == blobs_.end() ? 0 : at->second->info.size);
  if (others + kept->info.size > max_bytes_)
    throw Error(ErrorCode::unavailable, "The blob store is full.").reason("blob_store_full");
  total_ = others + kept->info.size;
  Info info = kept->info;
  blobs_.insert_or_assign(info.name, std::move(kept));
  return info;
}

Info MemoryStore::get(const Context& ctx, std::string_view name, const Sink& sink,
                      const GetOptions& options) {
  require_name(name);
  std::shared_ptr<const Kept> kept;
  {
    const std::lock_guard lock(mutex_);
    const auto at = blobs_.find(name);
    if (at == blobs_.end()) throw not_found(name);
    kept = at->second;
  }
  const Range range = range_of(options, kept->info.size);
  Sha256 hash;
  for (std::string_view left = std::string_view(kept->bytes).substr(range.offset, range.length);
       !left.empty();) {
    const std::string_view piece = left.substr(0, kPieceBytes);
    hash.update(piece);
    sink(ctx, piece);
    left.remove_prefix(piece.size());
  }
  if (range.whole && encode_hex(hash.finish()) != kept->info.sha256)
    throw damaged(name, "its SHA-256 is another");
  return kept->info;
}

std::optional<Info> MemoryStore::head(const Context&, std::string_view name) {
  require_name(name);
  const std::lock_guard lock(mutex_);
  const auto at = blobs_.find(name);
  return at == blobs_.end() ? std::nullopt : std::optional(at->second->info);
}

void MemoryStore::remove(const Context&, std::string_view name) {
  require_name(name);
  const std::lock_guard lock(mutex_);
  const auto at = blobs_.find(name);
  if (at == blobs_.end()) return;
  total_ -= at->second->info.size;
  blobs_.erase(at);
}

Page MemoryStore::list(const Context&, std::string_view prefix, std::string_view after, std::size_t limit) {
  if (!listable(prefix)) return {};
  limit = std::clamp<std::size_t>(limit, 1, kMaxPage);
  const std::lock_guard lock(mutex_);
  Page page;
  auto at = after < prefix ? blobs_.lower_bound(prefix) : blobs_.upper_bound(after);
  for (; at != blobs_.end() && at->first.starts_with(prefix); ++at) {
    if (page.blobs.size() == limit) {
      page.next = page.blobs.back().name;
      break;
    }
    page.blobs.push_back({at->first, at->second->info.size, at->second->info.modified_at});
  }
  return page;
}

void MemoryStore::tamper(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto at = blobs_.find(name);
  if (at == blobs_.end() || at->second->bytes.empty()) return;
  auto copy = std::make_shared<Kept>(*at->second);
  copy->bytes[copy->bytes.size() / 2] ^= 1;
  at->second = std::move(copy);
}

}  // namespace holdfast::blob
