// hold(): does something while holding a lease, renewing it meanwhile, and stops when it is lost.
//
//   const auto done = lease::hold(ctx, leases, "nightly-report", random, {.time = 10s},
//                                 [&](const Context& ctx, lease::Fence fence) { build_report(ctx, fence); });
//   if (!done) …        // another has it
//
// The Context of the body is cancelled as soon as the lease may be another's: when renewing is refused, and
// when nothing was heard for so long that it may have ended, by the clock of this process. What the body does
// to others carries the fence all the same. Thread-safety: from any fiber.
#pragma once

#include <functional>
#include <string_view>

#include "holdfast/base/random.hpp"
#include "holdfast/lease/leases.hpp"

namespace holdfast::lease {

struct HoldOptions {
  Duration time = std::chrono::seconds(10);  ///< of the lease: how long others wait for one that was killed
  Duration renew_every{0};                   ///< time/3 unless set; below it
  /// Keeps trying until ctx ends, every time/4 or so, where another has it. Else it returns false.
  bool wait = false;
};

using Body = std::function<void(const Context&, Fence)>;

/// True once `body` has returned with the lease held to its end. False where another has the lease. Throws
/// what the body throws; Error(conflict, "lease_lost") where the lease was lost before the body ended,
/// whatever the body made of it; as Leases do where the lease can't be asked for.
bool hold(const Context& ctx, Leases& leases, std::string_view name, Random& random,
          const HoldOptions& options, const Body& body);

}  // namespace holdfast::lease
