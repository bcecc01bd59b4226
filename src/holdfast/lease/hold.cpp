#include "holdfast/lease/hold.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <string>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/runtime/cancellation.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::lease {
namespace {

std::string new_holder(Random& random) {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(random.below(256));
  return encode_hex(bytes);
}

/// One holding of a lease.
struct Holding {
  Leases& leases;
  const std::string name;
  const std::string holder;
  const HoldOptions options;
  Fence fence = 0;
  Instant valid_until{};  // by our clock, from before we asked: never later than the store's
  bool lost = false;

  bool take(const Context& ctx) {
    const Instant asked = ctx.now();
    const auto granted = leases.try_take(ctx, name, holder, options.time);
    if (!granted) return false;
    fence = *granted;
    valid_until = asked + options.time;
    return true;
  }

  /// Until the lease is lost or `ctx` is cancelled.
  void keep(const Context& ctx) {
    const Duration every = options.renew_every > Duration(0) ? options.renew_every : options.time / 3;
    while (!ctx.cancelled()) {
      if (ctx.now() >= valid_until) return lose();
      try {
        runtime::sleep_for(ctx, std::min(every, valid_until - ctx.now()));
        const Instant asked = ctx.now();
        if (asked >= valid_until) return lose();
        if (!leases.renew(ctx.with_deadline(valid_until), name, holder, fence, options.time)) return lose();
        valid_until = asked + options.time;
      } catch (const Error&) {
        // Away, or late: as long as it is ours for certain it is asked again.
      }
    }
  }
  void lose() noexcept { lost = true; }
};

}  // namespace

bool hold(const Context& ctx, Leases& leases, std::string_view name, Random& random,
          const HoldOptions& options, const Body& body) {
  Holding holding{
      .leases = leases, .name = std::string(name), .holder = new_holder(random), .options = options};
  while (!holding.take(ctx)) {
    if (!options.wait) return false;
    const auto pause = static_cast<std::uint64_t>((options.time / 4).count());
    runtime::sleep_for(ctx, Duration(static_cast<std::int64_t>(pause / 2 + random.below(pause / 2 + 1))));
  }
  runtime::CancellationSource stop_body(ctx.cancellation());
  std::exception_ptr failure;
  {
    // The keeper outlives a caller that is cancelled: while the body still runs, the lease must not end.
    runtime::CancellationSource stop_keeper;
    runtime::FiberGroup keeper(ctx.detached().with_cancellation(stop_keeper.token()));
    keeper.spawn("lease keeper", [&](const Context& own) {
      holding.keep(own);
      if (holding.lost) stop_body.cancel();
    });
    try {
      body(ctx.with_cancellation(stop_body.token()), holding.fence);
    } catch (...) {
      failure = std::current_exception();
    }
    stop_keeper.cancel();
    keeper.wait();
  }
  // A loop that was held up may not have let the keeper notice.
  const bool lost = holding.lost || ctx.now() >= holding.valid_until;
  if (lost) {
    throw Error(ErrorCode::conflict, "The lease \"" + holding.name + "\" was lost before the work was done.")
        .reason("lease_lost");
  }
  try {
    leases.release(ctx.detached().with_timeout(options.time), holding.name, holding.holder, holding.fence);
  } catch (const Error&) {  // it ends by itself
  }
  if (failure) std::rethrow_exception(failure);
  return true;
}

}  // namespace holdfast::lease
