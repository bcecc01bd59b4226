// Cache: the port to what is remembered of a source, so that it need not be asked each time. What most code
// wants is Cached<T> (cached.hpp), which decides when to ask; a Cache only keeps, forgets and hands out
// claims.
//
//   MemoryCache local({.max_bytes = 64 << 20}, clock, random, metrics);        // this process
//   RedisCache shared(client, {.prefix = "shop:"});                            // all processes
//   TieredCache both(local, shared, …);                                        // the one in front of the
//   other
//
// A cache may forget anything at any time, and never keeps what was invalidated while it was being loaded:
// who loads takes a claim first, an invalidation voids it, and what comes with a void claim is not kept.
// (After the leases of Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013.) Thread-safety: any fiber.
// Nothing but invalidate() throws for a cache that is away.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "holdfast/base/clock.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::cache {

inline constexpr std::size_t kMaxKeyBytes = 1024;

/// A value as it is used and as it travels.
struct Value {
  std::shared_ptr<const void> object;          ///< shared by all who read it; null: known not to be there
  std::shared_ptr<const std::string> encoded;  ///< null where only the object is kept
  std::size_t bytes = 0;                       ///< of the encoded value: what it counts for
};

struct Entry {
  Value value;
  Duration fresh_for{0};   ///< left; at or below zero it is stale
  Duration usable_for{0};  ///< left until it is gone; above zero
  Duration load_took{0};   ///< what it cost to find out
  Duration age{0};         ///< since it was loaded
  Duration kept_for{0};    ///< since it was put into the cache that answers; of an answer
};

/// Makes the object of an encoded value. Null where that is of no use: then the entry is as good as gone.
using Decode = std::function<std::shared_ptr<const void>(std::string_view)>;

struct Found {
  std::optional<Entry> entry{};
  bool away = false;  ///< the cache, or its shared tier, could not be asked
};

/// The right to put what is loaded from now on.
struct Claim {
  enum class State : std::uint8_t {
    granted,
    taken,  ///< another is loading it: wait for that, or go without
    away,   ///< could not be asked: load, and keep it to yourself
  };
  State state = State::away;
  std::string token{};
  std::uint64_t local = 0;  ///< of the tier in this process
};

enum class Kept : std::uint8_t {
  kept,
  refused,  ///< invalidated meanwhile, claimed by another since, or too large
  away,
};

enum class Look : std::uint8_t {
  nearest,
  shared,  ///< past the tier of this process, where there is another behind it
};

class Cache {
 public:
  virtual ~Cache() = default;
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  virtual Found find(const Context& ctx, std::string_view key, const Decode& decode,
                     Look look = Look::nearest) = 0;

  /// For at most `time`; then another may have it.
  virtual Claim claim(const Context& ctx, std::string_view key, Duration time) = 0;
  /// Keeps `entry` if `claim` still holds, and ends the claim. `entry.value` has its encoded form.
  virtual Kept put(const Context& ctx, std::string_view key, const Claim& claim, const Entry& entry) = 0;
  /// Nothing came of it: another may try at once.
  virtual void give_up(const Context& ctx, std::string_view key, const Claim& claim) noexcept = 0;

  /// Forgets `key` wherever it is kept, and voids claims on it. Call it after what changes the source is
  /// durable. Throws Error(unavailable) where not all could be told: call it again until it returns, as a
  /// subscription's handler is called.
  virtual void invalidate(const Context& ctx, std::string_view key) = 0;

 protected:
  Cache() = default;
};

}  // namespace holdfast::cache
