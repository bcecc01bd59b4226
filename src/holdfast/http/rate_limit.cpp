#include "holdfast/http/rate_limit.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "holdfast/base/error.hpp"
#include "holdfast/http/problem.hpp"
#include "holdfast/resilience/rate_limiter.hpp"

namespace holdfast::http {

namespace {

/// What the middleware keeps; shared by its copies, since a std::function is copied.
struct Limits {
  resilience::RateLimits& limiter;
  RateLimitOptions options;
  std::vector<observe::Counter> allowed;  // by policy
  std::vector<observe::Counter> refused;
  observe::Observation forgotten;
};

std::string network_of(std::string_view address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  in6_addr parsed{};
  if (address.size() >= text.size()) return std::string(address);
  std::ranges::copy(address, text.begin());
  if (::inet_pton(AF_INET6, text.data(), &parsed) != 1 || IN6_IS_ADDR_V4MAPPED(&parsed))
    return std::string(address);
  std::fill(parsed.s6_addr + 8, parsed.s6_addr + 16, std::uint8_t{0});
  ::inet_ntop(AF_INET6, &parsed, text.data(), text.size());
  return std::string(text.data()) + "/64";
}

Response refused(const Context& ctx, const Request& request, const resilience::RatePolicy& policy,
                 const resilience::RateDecision& decision) {
  return problem_response(
      ctx, request,
      Error(ErrorCode::rate_limited,
            fmt::format("This client may ask {} times in {} s; wait for as long as Retry-After says.",
                        policy.rate.requests, std::chrono::duration<double>(policy.rate.window).count()))
          .retry_after(decision.retry_after));
}

}  // namespace

std::string client_key(const Context& ctx, const Request& request) {
  if (!ctx.principal().anonymous()) return ctx.principal().subject;
  return network_of(request.remote_address);
}

Middleware rate_limit(resilience::RateLimits& limiter, observe::Metrics& metrics, RateLimitOptions options) {
  if (!options.key) options.key = client_key;
  auto limits = std::make_shared<Limits>(Limits{.limiter = limiter, .options = std::move(options)});
  for (std::size_t i = 0; i < limiter.policy_count(); ++i) {
    const auto counter = [&](const char* outcome) {
      return metrics.counter("holdfast_rate_limit_total", "Requests by what their client's limit said.",
                             {{"policy", limiter.policy(i).name}, {"outcome", outcome}});
    };
    limits->allowed.push_back(counter("allowed"));
    limits->refused.push_back(counter("refused"));
  }
  limits->forgotten = metrics.observe_counter(
      "holdfast_rate_limit_forgotten_total", "Busy clients forgotten for want of a place.", {},
      [&limiter] { return static_cast<double>(limiter.forgotten()); });
  return [limits](const Context& ctx, Request& request, const Next& next) {
    const std::string key = limits->options.key(ctx, request);
    if (key.empty()) return next(ctx, request);
    const std::size_t index = limits->options.policy ? limits->options.policy(ctx, request) : 0;
    const resilience::RateDecision decision = limits->limiter.try_acquire(ctx, index, key);
    const resilience::RatePolicy& policy = limits->limiter.policy(index);
    (decision.allowed ? limits->allowed : limits->refused)[index].add();
    Response response = decision.allowed ? next(ctx, request) : refused(ctx, request, policy, decision);
    for (const auto& [name, value] : resilience::rate_limit_headers(policy, decision))
      response.set(name, value);
    return response;
  };
}

}  // namespace holdfast::http
