#include "holdfast/redis/shared_rate_limits.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <mutex>
#include <unordered_map>

#include "holdfast/base/digest.hpp"
#include "holdfast/base/encoding.hpp"

namespace holdfast::redis {
namespace {

using resilience::RateDecision;
using resilience::RatePolicy;

constexpr std::size_t kMaxKeyBytes = 256;  // longer ones go by their SHA-256
constexpr int kRounds = 3;                 // of sharing one question with others

// GCRA on the server's clock, in microseconds. KEYS: the instant at which the bucket is full again.
// ARGV: time a token takes, that of the whole burst, tokens needed, tokens wanted.
// Returns: granted (0 or needed … wanted), left, wait until as many as needed are there, time until it is
// full.
const Script& take_script() {
  static const Script script(R"lua(
local time = redis.call('time')
local now = time[1] * 1000000 + time[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local needed, wanted = tonumber(ARGV[3]), tonumber(ARGV[4])
local full = tonumber(redis.call('get', KEYS[1]) or now)
local owed = math.max(full - now, 0)
local left = math.floor((tolerance - owed) / interval + 0.000001)
if left < 0 then left = 0 end
if needed == 0 then return {0, left, 0, math.ceil(owed)} end
if left < needed then
  return {0, left, math.max(math.ceil(owed + needed * interval - tolerance), 1), math.ceil(owed)}
end
local granted = math.min(wanted, left)
owed = owed + granted * interval
redis.call('set', KEYS[1], string.format('%.0f', now + owed), 'PX', math.ceil(owed / 1000) + 1)
return {granted, left - granted, 0, math.ceil(owed)}
)lua");
  return script;
}

std::vector<RatePolicy> shares_of(const std::vector<RatePolicy>& policies, std::uint32_t processes) {
  std::vector<RatePolicy> shares = policies;
  const std::uint64_t among = std::max<std::uint32_t>(processes, 1);
  for (RatePolicy& share : shares) {
    const std::uint64_t burst = share.rate.burst.value_or(share.rate.requests);
    share.rate.burst = std::max<std::uint64_t>(burst / among, 1);
    // A longer window rather than fewer requests: one a minute can be shared too.
    share.rate.window *= static_cast<std::int64_t>(among);
  }
  return shares;
}

}  // namespace

/// What this process has of one client's tokens, and what it was told last.
struct SharedRateLimits::Purse {
  std::uint64_t tokens = 0;
  Instant tokens_until{};
  Instant refused_until{};
  std::uint64_t refused_count = 0;  // who needs as many, or more, is refused until then
  std::uint64_t wanted = 0;         // by those who wait for an answer
  std::uint64_t left = 0;           // in Redis, when it was asked last
  Instant full_at{};
};

struct SharedRateLimits::Part {
  std::mutex mutex;
  std::unordered_map<std::string, Purse> purses;
};

struct SharedRateLimits::Answer {
  bool away = true;
  std::uint64_t granted = 0;
  std::uint64_t left = 0;
  Duration retry_after{0};
  Duration full_after{0};
  std::uint64_t needed = 0;
};

SharedRateLimits::SharedRateLimits(Client& client, const std::vector<RatePolicy>& policies,
                                   SharedRateOptions options, const Clock& clock, Random& random,
                                   observe::Metrics& metrics)
    : client_(client),
      policies_(policies),
      options_(std::move(options)),
      clock_(clock),
      fallback_(shares_of(policies, options_.processes), {.max_keys = options_.max_keys}, random),
      parts_(std::make_unique<std::array<Part, kParts>>()),
      asking_("rate_limit", {.max_keys = 16'384, .max_waiting = 65'536}, metrics) {
  for (const RatePolicy& policy : policies_) {
    if (policy.algorithm != resilience::RateAlgorithm::token_bucket) {
      throw Error(ErrorCode::invalid_argument,
                  "The rate limit policy \"" + policy.name + "\" is shared, so it must be a token bucket.");
    }
    const std::uint64_t burst = policy.rate.burst.value_or(policy.rate.requests);
    const double micros = std::chrono::duration<double, std::micro>(policy.rate.window).count();
    interval_.push_back(micros / static_cast<double>(policy.rate.requests));
    burst_.push_back(burst);
    const double in_a_lease =
        std::chrono::duration<double, std::micro>(options_.lease).count() / interval_.back();
    leased_.push_back(std::clamp<std::uint64_t>(static_cast<std::uint64_t>(in_a_lease), 1,
                                                std::max<std::uint64_t>(burst / options_.burst_share, 1)));
  }
  const auto counted = [&](const char* outcome) {
    return metrics.counter("holdfast_rate_limit_shared_total",
                           "Decisions about shared limits: from tokens and refusals that are here, after "
                           "asking Redis, by this process' share because Redis was away.",
                           {{"outcome", outcome}});
  };
  local_ = counted("local");
  asked_ = counted("asked");
  fell_back_ = counted("fallback");
}

SharedRateLimits::~SharedRateLimits() = default;

SharedRateLimits::Part& SharedRateLimits::part_of(const std::string& name) noexcept {
  return (*parts_)[std::hash<std::string>{}(name) % kParts];
}

std::optional<RateDecision> SharedRateLimits::from_purse(std::size_t index, const std::string& name,
                                                         Instant now, std::uint64_t count) {
  Part& part = part_of(name);
  const std::lock_guard lock(part.mutex);
  const auto found = part.purses.find(name);
  if (found == part.purses.end()) return std::nullopt;
  Purse& purse = found->second;
  const Duration full_after = std::max(purse.full_at - now, Duration(0));
  if (purse.tokens >= count && purse.tokens_until > now) {
    purse.tokens -= count;
    return RateDecision{.allowed = true,
                        .remaining = std::min(purse.left + purse.tokens, burst_[index]),
                        .full_after = full_after};
  }
  if (purse.refused_until > now && count >= purse.refused_count) {
    return RateDecision{.allowed = false,
                        .remaining = std::min(purse.left, count - 1),
                        .retry_after = purse.refused_until - now,
                        .full_after = full_after};
  }
  return std::nullopt;
}

/// With the part's mutex held.
SharedRateLimits::Purse& SharedRateLimits::purse_of(Part& part, const std::string& name, Instant now) {
  const auto found = part.purses.find(name);
  if (found != part.purses.end()) return found->second;
  const std::size_t most = std::max<std::size_t>(options_.max_keys / kParts, 1);
  if (part.purses.size() >= most) {
    std::erase_if(part.purses, [now](const auto& entry) {
      const Purse& purse = entry.second;
      return purse.wanted == 0 && purse.tokens_until <= now && purse.refused_until <= now;
    });
  }
  if (part.purses.size() >= most) {
    const auto idle =
        std::ranges::find_if(part.purses, [](const auto& entry) { return entry.second.wanted == 0; });
    if (idle != part.purses.end()) {
      part.purses.erase(idle);  // its tokens are lost: the client may get less, never more
      forgotten_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  return part.purses[name];
}

void SharedRateLimits::put_in_purse(const std::string& name, const Answer& answer) {
  const Instant now = clock_.now();
  Part& part = part_of(name);
  const std::lock_guard lock(part.mutex);
  Purse& purse = purse_of(part, name, now);
  if (purse.tokens_until <= now) purse.tokens = 0;
  purse.left = answer.left;
  purse.full_at = now + answer.full_after;
  if (answer.granted > 0) {
    purse.tokens += answer.granted;
    purse.tokens_until = now + 2 * options_.lease;
    purse.refused_until = {};
  } else if (answer.needed > 0) {
    purse.refused_until = now + answer.retry_after;
    purse.refused_count = answer.needed;
  }
}

SharedRateLimits::Answer SharedRateLimits::ask(const Context& ctx, std::size_t index, const std::string& name,
                                               std::uint64_t count, std::uint64_t want) {
  const std::string key = options_.prefix + "r:" + name;
  const std::string interval = std::to_string(interval_[index]);
  const std::string tolerance = std::to_string(interval_[index] * static_cast<double>(burst_[index]));
  const auto reply = client_.try_eval(ctx.with_timeout(options_.patience), take_script(), {key},
                                      {interval, tolerance, std::to_string(count), std::to_string(want)});
  Answer answer;
  if (!reply || reply->elements.size() != 4) return answer;
  asked_.add();
  answer.away = false;
  answer.needed = count;
  answer.granted = static_cast<std::uint64_t>(reply->elements[0].integer);
  answer.left = static_cast<std::uint64_t>(reply->elements[1].integer);
  answer.retry_after = std::chrono::microseconds(reply->elements[2].integer);
  answer.full_after = std::chrono::microseconds(reply->elements[3].integer);
  return answer;
}

/// One of those who need tokens of this client asks for all of them. False where Redis is away.
bool SharedRateLimits::ask_for_all(const Context& ctx, std::size_t index, const std::string& name,
                                   std::uint64_t count) {
  Part& part = part_of(name);
  {
    const std::lock_guard lock(part.mutex);
    purse_of(part, name, clock_.now()).wanted += count;
  }
  const auto no_more_wanted = [&](bool left) {
    const std::lock_guard lock(part.mutex);
    Purse& purse = part.purses[name];  // not forgotten while it is wanted
    purse.wanted -= std::min(purse.wanted, count);
    // What was asked for somebody who has left is given up: no more than a lease stays.
    if (left) purse.tokens = std::min(purse.tokens, purse.wanted + leased_[index]);
  };
  try {
    const auto there = asking_.get(ctx, name, [&](const Context& own) {
      std::uint64_t wanted = 0;
      {
        const std::lock_guard lock(part.mutex);
        wanted = part.purses[name].wanted;
      }
      const Answer answer =
          ask(own, index, name, count, std::clamp(wanted, std::max(count, leased_[index]), burst_[index]));
      if (!answer.away) put_in_purse(name, answer);
      return !answer.away;
    });
    no_more_wanted(false);
    return *there;
  } catch (...) {
    no_more_wanted(true);
    throw;
  }
}

RateDecision SharedRateLimits::decide(const Context& ctx, std::size_t index, const std::string& name,
                                      std::uint64_t count) {
  for (int round = 0; round < kRounds; ++round) {
    if (auto decision = from_purse(index, name, clock_.now(), count)) {
      if (round == 0) local_.add();
      return *decision;
    }
    if (!ask_for_all(ctx, index, name, count)) return by_own_share(index, name, count);
  }
  // Others were quicker each time: for itself alone.
  const Answer answer = ask(ctx, index, name, count, count);
  if (answer.away) return by_own_share(index, name, count);
  return {.allowed = answer.granted >= count,
          .remaining = answer.left,
          .retry_after = answer.retry_after,
          .full_after = answer.full_after};
}

RateDecision SharedRateLimits::try_acquire(const Context& ctx, std::size_t index, std::string_view key,
                                           std::uint64_t count) noexcept {
  if (count > burst_[index]) {
    return {.allowed = false, .remaining = burst_[index], .retry_after = RateDecision::kNeverPasses};
  }
  std::string name = policies_[index].name + ":";
  name += key.size() <= kMaxKeyBytes ? std::string(key) : encode_hex(sha256(key));
  try {
    if (count > 0) return decide(ctx, index, name, count);
    const Answer answer = ask(ctx, index, name, 0, 0);
    if (!answer.away) return {.allowed = true, .remaining = answer.left, .full_after = answer.full_after};
  } catch (const std::exception&) {  // the caller's time is over, or too many wait
  }
  return by_own_share(index, name, count);
}

RateDecision SharedRateLimits::by_own_share(std::size_t index, const std::string& name,
                                            std::uint64_t count) noexcept {
  fell_back_.add();
  return fallback_.try_acquire(index, name, clock_.now(), count);
}

}  // namespace holdfast::redis
