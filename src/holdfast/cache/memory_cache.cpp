#include "holdfast/cache/memory_cache.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <list>
#include <mutex>
#include <span>
#include <unordered_map>

#include "holdfast/cache/internal/frequency_sketch.hpp"
#include "holdfast/resilience/siphash.hpp"

namespace holdfast::cache {
namespace {

constexpr std::size_t kWindowShare = 100;    // one in so many bytes, and entries, is the window's
constexpr std::size_t kProtectedShare = 80;  // percent of the main part
constexpr std::size_t kGenerations = 256;    // a part; keys that share one void each other's claims

}  // namespace

/// Everything below is under its mutex.
class MemoryCache::Part {
 public:
  Part(std::size_t max_bytes, std::size_t max_entries)
      : max_bytes_(max_bytes),
        max_entries_(std::max<std::size_t>(max_entries, 1)),
        window_bytes_(std::max<std::size_t>(max_bytes / kWindowShare, 1)),
        window_entries_(std::max<std::size_t>(max_entries / kWindowShare, 1)),
        protected_bytes_(max_bytes / 100 * kProtectedShare),
        protected_entries_(max_entries * kProtectedShare / 100),
        sketch_(max_entries) {}

  std::optional<Entry> find(std::uint64_t hash, std::string_view key, Instant now) noexcept;
  std::uint64_t generation(std::uint64_t hash) noexcept {
    const std::lock_guard lock(mutex_);
    return generation_of(hash);
  }
  Kept put(std::uint64_t hash, std::string_view key, std::uint64_t generation, const Entry& entry,
           Instant now);
  void invalidate(std::uint64_t hash, std::string_view key) noexcept;
  void clear() noexcept;
  MemoryStatistics statistics() const noexcept;

 private:
  enum Segment : std::uint8_t { kWindow, kProbation, kProtected, kSegments };
  struct Node {
    std::string key;
    std::uint64_t hash;
    Value value;
    Instant fresh_until;
    Instant usable_until;
    Instant put_at;
    Instant loaded_at;
    Duration load_took;
    Segment segment;
    std::size_t bytes;
  };
  using Nodes = std::list<Node>;
  struct Hashed {  // hashed already, with a secret
    std::size_t operator()(std::uint64_t hash) const noexcept { return hash; }
  };

  std::uint64_t& generation_of(std::uint64_t hash) noexcept {
    return generations_[(hash >> 8) % kGenerations];
  }
  Nodes::iterator* locate(std::uint64_t hash, std::string_view key) noexcept {
    const auto found = index_.find(hash);
    // Two keys of one 64-bit hash: the second is not found, and replaces the first when it is put.
    return found == index_.end() || found->second->key != key ? nullptr : &found->second;
  }
  void move(Nodes::iterator node, Segment to) noexcept {
    bytes_[node->segment] -= node->bytes;
    lists_[to].splice(lists_[to].begin(), lists_[node->segment], node);
    node->segment = to;
    bytes_[to] += node->bytes;
  }
  void erase(Nodes::iterator node) noexcept {
    bytes_[node->segment] -= node->bytes;
    index_.erase(node->hash);
    lists_[node->segment].erase(node);
  }
  void touch(Nodes::iterator node) noexcept;
  void make_room() noexcept;
  void evict(Nodes::iterator node) noexcept {
    ++evicted_;
    erase(node);
  }
  std::size_t bytes() const noexcept { return bytes_[kWindow] + bytes_[kProbation] + bytes_[kProtected]; }
  bool over() const noexcept { return bytes() > max_bytes_ || index_.size() > max_entries_; }

  mutable std::mutex mutex_;
  const std::size_t max_bytes_;
  const std::size_t max_entries_;
  const std::size_t window_bytes_;
  const std::size_t window_entries_;
  const std::size_t protected_bytes_;
  const std::size_t protected_entries_;
  std::unordered_map<std::uint64_t, Nodes::iterator, Hashed> index_;
  std::array<Nodes, kSegments> lists_;  // the latest first
  std::array<std::size_t, kSegments> bytes_{};
  internal::FrequencySketch sketch_;
  std::array<std::uint64_t, kGenerations> generations_{};
  std::uint64_t evicted_ = 0;
};

void MemoryCache::Part::touch(Nodes::iterator node) noexcept {
  if (node->segment != kProbation) return move(node, node->segment);
  move(node, kProtected);
  while ((bytes_[kProtected] > protected_bytes_ || lists_[kProtected].size() > protected_entries_) &&
         lists_[kProtected].size() > 1)
    move(std::prev(lists_[kProtected].end()), kProbation);
}

std::optional<Entry> MemoryCache::Part::find(std::uint64_t hash, std::string_view key, Instant now) noexcept {
  const std::lock_guard lock(mutex_);
  sketch_.count(hash);  // also of what is not here: that is how a newcomer gets a name
  const auto* const found = locate(hash, key);
  if (found == nullptr) return std::nullopt;
  const Nodes::iterator node = *found;
  if (node->usable_until <= now) {
    erase(node);
    return std::nullopt;
  }
  touch(node);
  return Entry{.value = node->value,
               .fresh_for = node->fresh_until - now,
               .usable_for = node->usable_until - now,
               .load_took = node->load_took,
               .age = now - node->loaded_at,
               .kept_for = now - node->put_at};
}

/// Over its limits, the oldest of the window asks to be let in; who was asked for less often goes.
void MemoryCache::Part::make_room() noexcept {
  while ((bytes_[kWindow] > window_bytes_ || lists_[kWindow].size() > window_entries_) &&
         (over() || lists_[kWindow].size() > 1)) {
    const Nodes::iterator candidate = std::prev(lists_[kWindow].end());
    move(candidate, kProbation);
    while (over()) {
      const bool alone = lists_[kProbation].size() == 1;
      if (alone && lists_[kProtected].empty()) break;
      const Nodes::iterator victim = std::prev(alone ? lists_[kProtected].end() : lists_[kProbation].end());
      if (sketch_.frequency(candidate->hash) > sketch_.frequency(victim->hash)) {
        evict(victim);
      } else {
        evict(candidate);
        break;
      }
    }
  }
  while (over()) evict(std::prev(lists_[lists_[kProbation].empty() ? kProtected : kProbation].end()));
}

Kept MemoryCache::Part::put(std::uint64_t hash, std::string_view key, std::uint64_t generation,
                            const Entry& entry, Instant now) {
  const std::size_t bytes = key.size() + entry.value.bytes + kEntryOverhead;
  if (bytes > max_bytes_ / 8 || entry.usable_for <= Duration(0)) return Kept::refused;
  const std::lock_guard lock(mutex_);
  if (generation_of(hash) != generation) return Kept::refused;
  if (const auto existing = index_.find(hash); existing == index_.end()) {
    lists_[kWindow].push_front({.key = std::string(key), .hash = hash, .segment = kWindow, .bytes = 0});
    index_.emplace(hash, lists_[kWindow].begin());
  } else if (existing->second->key != key) {
    existing->second->key = std::string(key);
  }
  const Nodes::iterator node = index_.at(hash);
  bytes_[node->segment] += bytes;
  bytes_[node->segment] -= node->bytes;
  node->bytes = bytes;
  node->value = {.object = entry.value.object, .encoded = {}, .bytes = entry.value.bytes};
  node->fresh_until = now + entry.fresh_for;
  node->usable_until = now + entry.usable_for;
  node->put_at = now;
  node->loaded_at = now - entry.age;
  node->load_took = entry.load_took;
  touch(node);
  make_room();
  return Kept::kept;
}

void MemoryCache::Part::invalidate(std::uint64_t hash, std::string_view key) noexcept {
  const std::lock_guard lock(mutex_);
  ++generation_of(hash);
  if (const auto* const found = locate(hash, key)) erase(*found);
}

void MemoryCache::Part::clear() noexcept {
  const std::lock_guard lock(mutex_);
  for (std::uint64_t& generation : generations_) ++generation;
  index_.clear();
  for (Nodes& list : lists_) list.clear();
  bytes_.fill(0);
}

MemoryStatistics MemoryCache::Part::statistics() const noexcept {
  const std::lock_guard lock(mutex_);
  return {.entries = index_.size(), .bytes = bytes(), .evicted = evicted_};
}

MemoryCache::MemoryCache(MemoryOptions options, const Clock& clock, Random& random, observe::Metrics& metrics)
    : clock_(clock) {
  const std::size_t parts = std::bit_ceil(std::clamp<std::size_t>(options.parts, 1, 256));
  for (std::size_t i = 0; i < parts; ++i)
    parts_.push_back(std::make_unique<Part>(options.max_bytes / parts, options.max_entries / parts));
  std::array<std::uint64_t, 2> secret{};
  random.fill_secret(std::as_writable_bytes(std::span(secret)));
  secret_low_ = secret[0];
  secret_high_ = secret[1];
  const observe::Labels labels{{"cache", options.name}};
  const auto read = [this](auto member) {
    return [this, member] { return static_cast<double>(statistics().*member); };
  };
  observations_.push_back(metrics.observe_gauge("holdfast_cache_entries", "Kept in memory.", labels,
                                                read(&MemoryStatistics::entries)));
  observations_.push_back(metrics.observe_gauge("holdfast_cache_bytes", "Kept in memory.", labels,
                                                read(&MemoryStatistics::bytes)));
  observations_.push_back(metrics.observe_counter("holdfast_cache_evicted_total",
                                                  "Entries that went for want of room.", labels,
                                                  read(&MemoryStatistics::evicted)));
}

MemoryCache::~MemoryCache() = default;

std::uint64_t MemoryCache::hash(std::string_view key) const noexcept {
  return resilience::siphash({.low = secret_low_, .high = secret_high_}, key);
}

MemoryCache::Part& MemoryCache::part_of(std::uint64_t hashed) const noexcept {
  return *parts_[hashed & (parts_.size() - 1)];
}

std::optional<Entry> MemoryCache::find(std::string_view key) noexcept {
  const std::uint64_t hashed = hash(key);
  return part_of(hashed).find(hashed, key, clock_.now());
}

Claim MemoryCache::claim(std::string_view key) noexcept {
  const std::uint64_t hashed = hash(key);
  return {.state = Claim::State::granted, .local = part_of(hashed).generation(hashed)};
}

Kept MemoryCache::put(std::string_view key, const Claim& claim, const Entry& entry) {
  const std::uint64_t hashed = hash(key);
  return part_of(hashed).put(hashed, key, claim.local, entry, clock_.now());
}

void MemoryCache::invalidate(std::string_view key) noexcept {
  const std::uint64_t hashed = hash(key);
  part_of(hashed).invalidate(hashed, key);
}

void MemoryCache::clear() noexcept {
  for (const auto& part : parts_) part->clear();
}

MemoryStatistics MemoryCache::statistics() const noexcept {
  MemoryStatistics all;
  for (const auto& part : parts_) {
    const MemoryStatistics one = part->statistics();
    all.entries += one.entries;
    all.bytes += one.bytes;
    all.evicted += one.evicted;
  }
  return all;
}

Found MemoryCache::find(const Context&, std::string_view key, const Decode&, Look) {
  return {.entry = find(key)};
}
Claim MemoryCache::claim(const Context&, std::string_view key, Duration) { return claim(key); }
Kept MemoryCache::put(const Context&, std::string_view key, const Claim& claim, const Entry& entry) {
  return put(key, claim, entry);
}
void MemoryCache::give_up(const Context&, std::string_view, const Claim&) noexcept {}
void MemoryCache::invalidate(const Context&, std::string_view key) { invalidate(key); }

}  // namespace holdfast::cache
