#include "holdfast/http/tarpit.hpp"

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string_view>

#include "holdfast/base/error.hpp"
#include "holdfast/http/request.hpp"
#include "holdfast/http/response.hpp"
#include "holdfast/runtime/fiber.hpp"

namespace holdfast::http {
namespace {

constexpr std::size_t kCounters = 1024;  // clients share them; what that slows down is a refusal all the same
constexpr int kTooManyRequests = 429;

/// Shared by the middleware's copies, since a std::function is copied.
struct Pit {
  Pit(const TarpitOptions& given, observe::Metrics& metrics)
      : options(given),
        slowed(metrics.counter("holdfast_http_slowed_refusals_total",
                               "Answers 429 that were held back, for their client asks on and on.")) {}

  /// Counts a refusal; whether its client had too many within this second.
  bool is_too_many(std::string_view client, Instant now) noexcept {
    const auto second = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
    std::atomic<std::uint64_t>& counter = counters[std::hash<std::string_view>()(client) % kCounters];
    std::uint64_t seen = counter.load(std::memory_order_relaxed);
    std::uint64_t next = 0;
    do {
      const bool same = seen >> 32 == second;
      next = std::uint64_t{second} << 32 | (same ? (seen & 0xffff'ffffU) + 1 : 1);
    } while (!counter.compare_exchange_weak(seen, next, std::memory_order_relaxed));
    return (next & 0xffff'ffffU) > options.at_once;
  }

  void hold(const Context& ctx) {
    if (held.fetch_add(1, std::memory_order_relaxed) < options.max_held) {
      slowed.add();
      try {
        // Not bounded by the request's deadline, which is the client's to choose.
        runtime::sleep_for(ctx.detached().with_cancellation(ctx.cancellation()), options.delay);
      } catch (const Error&) {  // it has gone: the answer stays the same
      }
    }
    held.fetch_sub(1, std::memory_order_relaxed);
  }

  const TarpitOptions options;
  observe::Counter slowed;
  std::atomic<std::uint32_t> held{0};
  std::array<std::atomic<std::uint64_t>, kCounters> counters{};  // the second, and refusals in it
};

}  // namespace

Middleware tarpit(const TarpitOptions& options, observe::Metrics& metrics) {
  return [pit = std::make_shared<Pit>(options, metrics)](const Context& ctx, Request& request,
                                                         const Next& next) {
    Response response = next(ctx, request);
    if (response.status != kTooManyRequests) return response;
    const std::string_view credentials = request.header("Authorization");
    if (pit->is_too_many(credentials.empty() ? request.remote_address : credentials, ctx.now()))
      pit->hold(ctx);
    return response;
  };
}

}  // namespace holdfast::http
