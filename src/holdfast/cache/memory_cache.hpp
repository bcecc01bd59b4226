// A Cache in this process' memory, bounded in bytes and entries. A hit takes one short lock of a part of it
// and copies nothing.
//
//   MemoryCache local({.max_bytes = 64 << 20, .max_entries = 100'000}, clock, random, metrics);
//
// What goes first is decided by W-TinyLFU: newcomers pass through a small LRU window, and enter the main part
// only where they were asked for more often, of late, than what they would push out. So a scan of everything
// (an export, a crawler) does not wash out what is popular, which LRU and its segments let happen.
// Thread-safety: any thread.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "holdfast/base/random.hpp"
#include "holdfast/cache/cache.hpp"
#include "holdfast/observe/metrics.hpp"

namespace holdfast::cache {

struct MemoryOptions {
  std::string name = "local";                ///< in metrics
  std::size_t max_bytes = 64 * 1024 * 1024;  ///< keys, encoded values and 200 bytes an entry
  std::size_t max_entries = 100'000;
  /// Parts with a lock each; rounded up to a power of two. An entry may take an eighth of a part.
  std::size_t parts = 8;
};

struct MemoryStatistics {
  std::size_t entries = 0;
  std::size_t bytes = 0;
  std::uint64_t evicted = 0;
};

class MemoryCache final : public Cache {
 public:
  static constexpr std::size_t kEntryOverhead = 200;

  /// `clock` and `metrics` are borrowed; `random` is asked for a secret now.
  MemoryCache(MemoryOptions options, const Clock& clock, Random& random, observe::Metrics& metrics);
  ~MemoryCache() override;

  Found find(const Context& ctx, std::string_view key, const Decode& decode,
             Look look = Look::nearest) override;
  Claim claim(const Context& ctx, std::string_view key, Duration time) override;
  Kept put(const Context& ctx, std::string_view key, const Claim& claim, const Entry& entry) override;
  void give_up(const Context& ctx, std::string_view key, const Claim& claim) noexcept override;
  void invalidate(const Context& ctx, std::string_view key) override;

  // The same without a Context, since it never waits.
  std::optional<Entry> find(std::string_view key) noexcept;
  Claim claim(std::string_view key) noexcept;
  Kept put(std::string_view key, const Claim& claim, const Entry& entry);
  void invalidate(std::string_view key) noexcept;
  /// Forgets all, and voids all claims.
  void clear() noexcept;

  MemoryStatistics statistics() const noexcept;

 private:
  class Part;
  std::uint64_t hash(std::string_view key) const noexcept;
  Part& part_of(std::uint64_t hashed) const noexcept;

  const Clock& clock_;
  std::uint64_t secret_low_ = 0;
  std::uint64_t secret_high_ = 0;
  std::vector<std::unique_ptr<Part>> parts_;
  std::vector<observe::Observation> observations_;
};

}  // namespace holdfast::cache
