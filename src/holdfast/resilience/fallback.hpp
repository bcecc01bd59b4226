// The last good answer, for when a dependency has none: older, and said to be. For reads where an old
// answer is better than none (a price list, a rate of exchange); not for what must be true now (stock).
//
//   LastGood<Rates> rates("rates", {.max_staleness = 10min}, clock, metrics);
//   const Fallen<Rates> today = rates.get(ctx, "EUR", [&](const Context& own) { return fetch(own, "EUR"); });
//   if (today.stale_since) response.set("Age", …);
//
// Thread-safety: any fiber. The call runs outside its lock.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "holdfast/base/clock.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::resilience {

/// A value, and since when it has not been confirmed: unset if it is of now.
template <typename T>
struct Fallen {
  T value;
  std::optional<WallTime> stale_since;  ///< when it was last known to be good
  Duration age{0};                      ///< how long that is ago
};

struct FallbackOptions {
  std::size_t max_keys = 1024;                        ///< values kept; the least recently used goes first
  Duration max_staleness = std::chrono::minutes(10);  ///< an older one is as good as none
  /// What the call gets of the caller's time before the last good value is preferred; all of it unless set.
  std::optional<Duration> patience{};
};

/// Whether an old answer may stand in for this failure: the dependency can't (unavailable, rate_limited,
/// deadline_exceeded, internal), rather than won't (not_found, permission_denied, …).
bool may_fall_back(ErrorCode code) noexcept;

struct FallbackCounters {
  observe::Counter fresh;
  observe::Counter stale;
  observe::Counter failed;
  observe::Counter evicted;
  observe::Histogram age_seconds;
};
FallbackCounters fallback_counters(const std::string& name, observe::Metrics& metrics);

/// T is copied out; make it a shared_ptr<const …> where that is dear.
template <typename T>
class LastGood {
 public:
  /// `name` labels its metrics. `clock` and `metrics` must outlive it.
  LastGood(const std::string& name, const FallbackOptions& options, const Clock& clock,
           observe::Metrics& metrics)
      : options_(options), clock_(clock), counters_(fallback_counters(name, metrics)) {
    if (options.max_keys == 0 || options.max_staleness < Duration(0)) {
      throw Error(ErrorCode::invalid_argument,
                  "A fallback needs room for one value and an age that is not negative.");
    }
  }
  LastGood(const LastGood&) = delete;
  LastGood& operator=(const LastGood&) = delete;

  /// What `call(ctx)` returns; where it fails as may_fall_back() allows, the last it returned for `key`, if
  /// that is young enough. Otherwise throws what the call threw. Once `ctx` has ended nobody is
  /// there to be told, and its failure is passed on.
  template <typename Call>
  Fallen<T> get(const Context& ctx, const std::string& key, Call&& call) {
    try {
      T value = call(options_.patience ? ctx.with_timeout(*options_.patience) : ctx);
      put(key, value);
      counters_.fresh.add();
      return {.value = std::move(value), .stale_since = std::nullopt};
    } catch (const Error& error) {
      const bool ended = ctx.cancelled() || ctx.remaining() == Duration(0);
      if (!ended && may_fall_back(error.code())) {
        if (std::optional<Fallen<T>> last = find(key)) {
          counters_.stale.add();
          counters_.age_seconds.observe(last->age);
          return *std::move(last);
        }
      }
      if (error.code() == ErrorCode::not_found) forget(key);  // that is an answer too: it is gone
      counters_.failed.add();
      throw;
    }
  }

  /// A value known to be good from elsewhere (an event, a warm-up).
  void put(const std::string& key, const T& value) {
    const Instant now = clock_.now();
    const WallTime wall = clock_.wall_now();
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) {
      found->second->value = value;
      found->second->good_at = now;
      found->second->good_at_wall = wall;
      by_use_.splice(by_use_.begin(), by_use_, found->second);
      return;
    }
    if (by_key_.size() >= options_.max_keys) {
      by_key_.erase(by_use_.back().key);
      by_use_.pop_back();
      counters_.evicted.add();
    }
    by_use_.push_front({.key = key, .value = value, .good_at = now, .good_at_wall = wall});
    by_key_.emplace(key, by_use_.begin());
  }

  void forget(const std::string& key) {
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return;
    by_use_.erase(found->second);
    by_key_.erase(found);
  }

  /// The last good value, with its age, if there is one that is young enough.
  std::optional<Fallen<T>> find(const std::string& key) {
    const Instant now = clock_.now();
    const std::lock_guard lock(mutex_);
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) return std::nullopt;
    const Kept& kept = *found->second;
    const Duration age = now - kept.good_at;
    if (age > options_.max_staleness) return std::nullopt;
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return Fallen<T>{.value = kept.value, .stale_since = kept.good_at_wall, .age = age};
  }

 private:
  struct Kept {
    std::string key;
    T value;
    Instant good_at;
    WallTime good_at_wall;
  };

  const FallbackOptions options_;
  const Clock& clock_;
  FallbackCounters counters_;
  std::mutex mutex_;
  std::list<Kept> by_use_;  // the most recently used first
  std::unordered_map<std::string, typename std::list<Kept>::iterator> by_key_;
};

}  // namespace holdfast::resilience
