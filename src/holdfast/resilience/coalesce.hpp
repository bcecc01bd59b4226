// Single flight: identical reads that are asked for while one of them is under way share its answer.
// What keeps a cache miss on a popular key from becoming a thousand queries. (After Go's singleflight.)
//
//   Coalescer<Product> products("products", {}, metrics);
//   std::shared_ptr<const Product> mug = products.get(ctx, sku, [&](const Context& own) { return load(own,
//   sku); });
//
// The call runs on its first asker's fiber, so it may use that fiber's locals; it must not start a
// transaction around get(). Each waiter keeps its own deadline. A failure goes to all, but one that came
// from the end of the leader's own Context: then the next waiter leads, with its own function.
// Thread-safety: any fiber, across loops. Shares within this process only. Outlives its callers.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "holdfast/observe/metrics.hpp"
#include "holdfast/runtime/context.hpp"
#include "holdfast/runtime/waker.hpp"

namespace holdfast::resilience {

struct CoalesceOptions {
  std::size_t max_keys = 4096;     ///< calls shared at a time; beyond, a call runs unshared
  std::size_t max_waiting = 8192;  ///< waiters in all; beyond, Error(unavailable, "coalesce_full")
};

/// The bookkeeping of a Coalescer, whatever its values are.
class Flights {
 public:
  struct Outcome {
    std::shared_ptr<const void> value;  // shared by all who asked: that is the point
    std::exception_ptr failure;
  };
  enum class Role : std::uint8_t { leads, shares, alone };
  struct Joined {
    Role role;
    Outcome outcome;  ///< of who shares
  };

  /// `name` labels its metrics, which must outlive it.
  Flights(const std::string& name, const CoalesceOptions& options, observe::Metrics& metrics);
  ~Flights();
  Flights(const Flights&) = delete;
  Flights& operator=(const Flights&) = delete;

  /// Waits for the call under way with `key`, if there is one. Who leads must call land() or hand_over().
  Joined join(const Context& ctx, const std::string& key);
  void land(const std::string& key, const Outcome& outcome) noexcept;
  /// The next waiter leads, if there is one. Returns without a word otherwise.
  void hand_over(const std::string& key) noexcept;

 private:
  struct Waiting;
  struct Flight {
    Waiting* first = nullptr;
    Waiting* last = nullptr;
  };
  void remove(Flight& flight, Waiting& waiting) noexcept;
  runtime::Waker pass_on(const std::string& key) noexcept;

  const CoalesceOptions options_;
  std::mutex mutex_;
  std::unordered_map<std::string, Flight> flights_;
  std::size_t waiting_ = 0;
  observe::Counter led_;
  observe::Counter shared_;
  observe::Counter alone_;
  observe::Counter handed_over_;
  observe::Counter refused_;
};

template <typename T>
class Coalescer {
 public:
  Coalescer(const std::string& name, const CoalesceOptions& options, observe::Metrics& metrics)
      : flights_(name, options, metrics) {}

  /// What `call(ctx)` returned, to this caller or to another that asked for `key` while it ran. Throws what
  /// it threw; Error(cancelled / deadline_exceeded) where `ctx` ends first; Error(unavailable) when full.
  template <typename Call>
  std::shared_ptr<const T> get(const Context& ctx, const std::string& key, Call&& call) {
    Flights::Joined joined = flights_.join(ctx, key);
    if (joined.role == Flights::Role::alone) return std::make_shared<const T>(call(ctx));
    if (joined.role == Flights::Role::leads) return lead(ctx, key, call);
    if (joined.outcome.failure) std::rethrow_exception(joined.outcome.failure);
    return std::static_pointer_cast<const T>(std::move(joined.outcome.value));
  }

 private:
  template <typename Call>
  std::shared_ptr<const T> lead(const Context& ctx, const std::string& key, Call& call) {
    try {
      auto value = std::make_shared<const T>(call(ctx));
      flights_.land(key, {.value = value, .failure = {}});
      return value;
    } catch (...) {
      // The end of this caller's own time says nothing to the others.
      if (ctx.cancelled() || ctx.remaining() == Duration(0)) {
        flights_.hand_over(key);
      } else {
        flights_.land(key, {.value = {}, .failure = std::current_exception()});
      }
      throw;
    }
  }

  Flights flights_;
};

}  // namespace holdfast::resilience
