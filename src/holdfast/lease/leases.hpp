// Leases: the port to "one of us at a time". A lease has a name, a holder, an end that is put off by renewing
// it, and a fence: a number that grows with each holder. Most code wants hold() (hold.hpp).
//
//   SqlLeases leases(db);                     // in the database; or RedisLeases leases(client, random)
//   if (auto grant = leases.try_take(ctx, "nightly-report", me, 10s)) { …; leases.release(ctx, …); }
//
// A lease alone protects nothing: a holder that was paused for longer than it lasts goes on without knowing.
// What it does must carry the fence, and what it is done to must refuse lower ones: admit() (fences.hpp). (M.
// Kleppmann, "How to do distributed locking", 2016; C. Gray, D. Cheriton, "Leases", SOSP 1989.)
// Thread-safety: any fiber.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "holdfast/base/clock.hpp"
#include "holdfast/runtime/context.hpp"

namespace holdfast::lease {

inline constexpr std::size_t kMaxNameBytes = 200;

/// Above that of whoever had the lease before, for ever.
using Fence = std::int64_t;

class Leases {
 public:
  virtual ~Leases() = default;
  Leases(const Leases&) = delete;
  Leases& operator=(const Leases&) = delete;

  // All throw Error(unavailable) and others where the store can't be asked, and Error(invalid_argument) for
  // an empty name or holder, one over kMaxNameBytes, or a time below a millisecond. A `holder` is unique: not
  // the same for two takers, nor for two takings.

  /// For `time` from now. Empty where another has it. What threw may yet have taken it, until that is over.
  virtual std::optional<Fence> try_take(const Context& ctx, std::string_view name, std::string_view holder,
                                        Duration time) = 0;
  /// For `time` from now on. False where it is lost: another took it since, or could have.
  virtual bool renew(const Context& ctx, std::string_view name, std::string_view holder, Fence fence,
                     Duration time) = 0;
  /// Does nothing where it is another's by now.
  virtual void release(const Context& ctx, std::string_view name, std::string_view holder, Fence fence) = 0;

 protected:
  Leases() = default;
  static void require_sound(std::string_view name, std::string_view holder, Duration time);
};

}  // namespace holdfast::lease
