// Loading: when to take what a Cache has, when to ask the source, and who does. The part of Cached<T>
// (cached.hpp) that does not know T.
//
// Thread-safety: any fiber. Outlives its callers; destroyed on a fiber: it waits for refreshes that run
// behind.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "holdfast/base/random.hpp"
#include "holdfast/cache/cache.hpp"
#include "holdfast/observe/metrics.hpp"
#include "holdfast/resilience/coalesce.hpp"
#include "holdfast/runtime/cancellation.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::cache {

struct CachedOptions {
  std::string name;           ///< of keys and metrics: lower-case letters, digits, '-', '_'
  std::uint32_t version = 1;  ///< raise it when values of the same shape come to mean something else
  Duration fresh_for = std::chrono::seconds(60);
  /// After that, for so long, it is served at once while one refreshes it behind. 0: who comes waits.
  Duration stale_while_refreshed = std::chrono::seconds(30);
  /// After that, for so long, it is served only where the source can't be asked. 0: its error is.
  Duration stale_if_error = std::chrono::minutes(10);
  Duration absent_for = std::chrono::seconds(5);  ///< that something is not there; 0: not remembered
  double jitter = 0.1;  ///< of the times above, up to so much less: what was loaded together ends apart
  double early = 1.0;   ///< XFetch's beta: higher refreshes earlier; 0: not before it is stale
  Duration load_timeout = std::chrono::seconds(5);  ///< of a refresh behind, and of a claim between processes
  Duration claim_wait = std::chrono::seconds(1);    ///< for another process' load; then it is loaded here too
  std::size_t max_refreshes = 64;                   ///< behind, at a time; more are left for later
  resilience::CoalesceOptions sharing{};            ///< of one load by who asks meanwhile
};

/// What was found, and whether it is of now.
struct Loaded {
  Value value;
  bool stale = false;  ///< past fresh_for
  Duration age{0};     ///< since it was loaded
};

class Loading {
 public:
  /// Asks the source. A null object: it is not there.
  using Load = std::function<Value(const Context&)>;
  enum class Behind : std::uint8_t { yes, no };

  /// `cache` and `metrics` are borrowed. Throws Error(invalid_argument) for options that make no sense.
  Loading(Cache& cache, CachedOptions options, std::string shape, Decode decode, const Clock& clock,
          Random& random, observe::Metrics& metrics);
  ~Loading();
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

  /// With Behind::yes a copy of `load` may run after the call has returned.
  Loaded get(const Context& ctx, std::string_view key, const Load& load, Behind behind);
  void invalidate(const Context& ctx, std::string_view key);
  /// The write-through variant: `value` is what the source has from now on.
  void put(const Context& ctx, std::string_view key, const Value& value);

  /// "<name>.<shape>.<version>:<key>". Throws Error(invalid_argument, "cache_key_too_long").
  std::string full_key(std::string_view key) const;

 private:
  struct Meters {
    observe::Counter hit, absent_hit, stale_hit, stale_if_error, miss;
    observe::Counter loaded, found_absent, failed, not_kept;
    observe::Counter away;
    observe::Counter refreshed, refresh_failed, refresh_left;
    observe::Histogram load_seconds;
  };
  struct Aged {
    Loaded loaded;
    bool usable_now = false;  // without asking the source in this call
    bool refresh = false;
  };

  enum class For : std::uint8_t { miss, refresh };

  Aged judge(const Entry& entry) const;
  Found find(const Context& ctx, const std::string& full, Look look);
  Loaded serve(const Loaded& found);
  Loaded refresh_and_serve(const Context& ctx, const std::string& full, const Load& load, Behind behind,
                           const Loaded& found);
  bool begin_refresh(const std::string& full);
  void end_refresh(const std::string& full) noexcept;
  void refresh_behind(const std::string& full, const Load& load);
  /// Empty where it is being refreshed by another process.
  std::optional<Loaded> load_shared(const Context& ctx, const std::string& full, const Load& load, For what);
  std::optional<Loaded> load_as_one(const Context& ctx, const std::string& full, const Load& load, For what);
  std::optional<Loaded> wait_for_another(const Context& ctx, const std::string& full, Claim& claim);
  Loaded load_and_keep(const Context& ctx, const std::string& full, const Load& load, const Claim& claim);
  Entry entry_of(Value value, Duration took) const;

  Cache& cache_;
  const CachedOptions options_;
  const std::string prefix_;
  const Decode decode_;
  const Clock& clock_;
  Random& random_;
  Meters meters_;
  resilience::Coalescer<std::optional<Loaded>> coalescer_;
  std::atomic<std::uint64_t> invalidations_{0};  // who asks after one does not share a load from before it
  runtime::CancellationSource stopping_;
  std::mutex mutex_;
  std::unordered_set<std::string> refreshing_;  // guarded by mutex_; keys, behind or in front
  std::atomic<std::size_t> behind_{0};
  std::shared_ptr<runtime::Signal> behind_ended_;  // outlives it in the last refresh's hands
};

}  // namespace holdfast::cache
