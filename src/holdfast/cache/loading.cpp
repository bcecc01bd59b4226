#include "holdfast/cache/loading.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "holdfast/base/error.hpp"
#include "holdfast/resilience/fallback.hpp"
#include "holdfast/runtime/fiber.hpp"
#include "holdfast/runtime/loop.hpp"

namespace holdfast::cache {
namespace {

constexpr Duration kFirstLook = std::chrono::milliseconds(5);  // for another process' load; doubled each time
constexpr Duration kLongestLook = std::chrono::milliseconds(100);

void require_sound(const CachedOptions& options) {
  const bool named =
      !options.name.empty() && options.name.size() <= 64 && std::ranges::all_of(options.name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      });
  if (!named) {
    throw Error(ErrorCode::invalid_argument,
                "A cache must be named by 1 to 64 of [a-z0-9_-]; this one is \"" + options.name + "\".");
  }
  const Duration none(0);
  const bool sound = options.fresh_for >= none && options.stale_while_refreshed >= none &&
                     options.stale_if_error >= none && options.absent_for >= none && options.jitter >= 0 &&
                     options.jitter < 1 && options.early >= 0 && options.load_timeout > none &&
                     options.claim_wait >= none;
  if (!sound)
    throw Error(ErrorCode::invalid_argument,
                "The times of the cache \"" + options.name + "\" make no sense.");
}

}  // namespace

Loading::Loading(Cache& cache, CachedOptions options, std::string shape, Decode decode, const Clock& clock,
                 Random& random, observe::Metrics& metrics)
    : cache_(cache),
      options_((require_sound(options), std::move(options))),
      prefix_(options_.name + "." + shape + "." + std::to_string(options_.version) + ":"),
      decode_(std::move(decode)),
      clock_(clock),
      random_(random),
      coalescer_("cache_" + options_.name, options_.sharing, metrics),
      behind_ended_(std::make_shared<runtime::Signal>()) {
  const auto counted = [&](const char* family, const char* help) {
    return [&metrics, this, family, help](const char* outcome) {
      return metrics.counter(family, help, {{"cache", options_.name}, {"outcome", outcome}});
    };
  };
  const auto asked = counted("holdfast_cache_requests_total",
                             "What was asked of a cache: fresh hits, hits that say there is none, stale ones "
                             "served while refreshed, stale ones served for an error, misses.");
  meters_.hit = asked("hit");
  meters_.absent_hit = asked("absent_hit");
  meters_.stale_hit = asked("stale_hit");
  meters_.stale_if_error = asked("stale_if_error");
  meters_.miss = asked("miss");
  const auto loads =
      counted("holdfast_cache_loads_total",
              "Loads from the source: with a value, without, failed; and those whose result was "
              "not kept, because it was invalidated meanwhile.");
  meters_.loaded = loads("loaded");
  meters_.found_absent = loads("absent");
  meters_.failed = loads("failed");
  meters_.not_kept = loads("not_kept");
  const auto refreshes = counted("holdfast_cache_refreshes_total",
                                 "Refreshes behind: done, failed, left for later for want of room.");
  meters_.refreshed = refreshes("done");
  meters_.refresh_failed = refreshes("failed");
  meters_.refresh_left = refreshes("left");
  meters_.away = metrics.counter("holdfast_cache_away_total",
                                 "Look-ups that found the shared cache away, and went on without it.",
                                 {{"cache", options_.name}});
  meters_.load_seconds = metrics.histogram("holdfast_cache_load_seconds", "Time of a load from the source.",
                                           {{"cache", options_.name}});
}

Loading::~Loading() {
  stopping_.cancel();
  for (;;) {
    const std::uint64_t seen = behind_ended_->version();
    if (behind_.load(std::memory_order_acquire) == 0) return;
    behind_ended_->wait_past(Context(clock_), seen, "refreshes of a cache");
  }
}

std::string Loading::full_key(std::string_view key) const {
  if (prefix_.size() + key.size() > kMaxKeyBytes) {
    throw Error(ErrorCode::invalid_argument, "The key is too long for the cache \"" + options_.name + "\".")
        .reason("cache_key_too_long");
  }
  return std::string(prefix_).append(key);
}

Entry Loading::entry_of(Value value, Duration took) const {
  const auto scaled = [](Duration duration, double by) {
    return Duration(static_cast<std::int64_t>(static_cast<double>(duration.count()) * by));
  };
  const bool absent = value.object == nullptr;
  const Duration fresh =
      scaled(absent ? options_.absent_for : options_.fresh_for, 1.0 - options_.jitter * random_.unit());
  const Duration stale = absent ? Duration(0) : options_.stale_while_refreshed + options_.stale_if_error;
  return {.value = std::move(value), .fresh_for = fresh, .usable_for = fresh + stale, .load_took = took};
}

/// What an entry is good for now.
Loading::Aged Loading::judge(const Entry& entry) const {
  Aged aged;
  aged.loaded.value = entry.value;
  aged.loaded.age = entry.age;
  if (entry.fresh_for <= Duration(0)) {
    aged.loaded.stale = true;
    aged.usable_now = -entry.fresh_for < options_.stale_while_refreshed;
    aged.refresh = true;
    return aged;
  }
  aged.usable_now = true;
  if (options_.early <= 0 || entry.load_took <= Duration(0)) return aged;
  // XFetch: now - delta * beta * ln(rand) >= expiry. unit() is below 1, so 1 - unit() is above 0.
  const double lead = static_cast<double>(entry.load_took.count()) * options_.early;
  if (lead * 40 < static_cast<double>(entry.fresh_for.count())) return aged;  // e^-40: spares a logarithm
  aged.refresh = -lead * std::log(1.0 - random_.unit()) >= static_cast<double>(entry.fresh_for.count());
  return aged;
}

Found Loading::find(const Context& ctx, const std::string& full, Look look) {
  Found found = cache_.find(ctx, full, decode_, look);
  if (found.away) meters_.away.add();
  return found;
}

Loaded Loading::serve(const Loaded& found) {
  (found.stale ? meters_.stale_hit : found.value.object ? meters_.hit : meters_.absent_hit).add();
  return found;
}

Loaded Loading::get(const Context& ctx, std::string_view key, const Load& load, Behind behind) {
  const std::string full = full_key(key);
  const Found found = find(ctx, full, Look::nearest);
  std::optional<Aged> old;
  if (found.entry) old = judge(*found.entry);
  if (old && old->usable_now) {
    if (!old->refresh) return serve(old->loaded);
    return refresh_and_serve(ctx, full, load, behind, old->loaded);
  }
  meters_.miss.add();
  try {
    // A flight that was for a refresh, and found another process at it, has nothing for us: once more.
    for (;;) {
      if (auto loaded = load_shared(ctx, full, load, For::miss)) return *std::move(loaded);
    }
  } catch (const Error& error) {
    if (!old || !resilience::may_fall_back(error.code()) || ctx.cancelled()) throw;
  }
  meters_.stale_if_error.add();
  return old->loaded;
}

/// What was found is good enough to serve; one of those who see that it is old does something about it.
Loaded Loading::refresh_and_serve(const Context& ctx, const std::string& full, const Load& load,
                                  Behind behind, const Loaded& found) {
  if (!begin_refresh(full)) return serve(found);
  if (behind == Behind::yes) {
    refresh_behind(full, load);
    return serve(found);
  }
  std::optional<Loaded> loaded;
  try {
    loaded = load_shared(ctx, full, load, For::refresh);
    meters_.refreshed.add();
  } catch (const Error&) {
    meters_.refresh_failed.add();
  } catch (...) {
    end_refresh(full);
    throw;
  }
  end_refresh(full);
  return loaded ? *loaded : serve(found);
}

bool Loading::begin_refresh(const std::string& full) {
  const std::lock_guard lock(mutex_);
  if (refreshing_.size() >= options_.max_refreshes) {
    meters_.refresh_left.add();
    return false;
  }
  return refreshing_.insert(full).second;
}

void Loading::end_refresh(const std::string& full) noexcept {
  const std::lock_guard lock(mutex_);
  refreshing_.erase(full);
}

void Loading::refresh_behind(const std::string& full, const Load& load) {
  const auto refresh = [this, full, load, ended = behind_ended_] {
    try {
      const Context own =
          Context(clock_).with_cancellation(stopping_.token()).with_timeout(options_.load_timeout);
      load_shared(own, full, load, For::refresh);
      meters_.refreshed.add();
    } catch (...) {  // who asks later hears of it
      meters_.refresh_failed.add();
    }
    end_refresh(full);
    behind_.fetch_sub(1, std::memory_order_release);  // it may be gone from here on
    ended->notify();
  };
  behind_.fetch_add(1, std::memory_order_relaxed);
  runtime::Loop* const loop = runtime::Loop::current();
  if (loop != nullptr && loop->spawn("cache refresh", refresh)) return;
  behind_.fetch_sub(1, std::memory_order_release);
  meters_.refresh_left.add();
  end_refresh(full);
}

std::optional<Loaded> Loading::load_shared(const Context& ctx, const std::string& full, const Load& load,
                                           For what) {
  const std::string flight = full + '#' + std::to_string(invalidations_.load(std::memory_order_acquire));
  return *coalescer_.get(ctx, flight, [&](const Context& own) { return load_as_one(own, full, load, what); });
}

/// One of this process; the claim makes it one of all.
std::optional<Loaded> Loading::load_as_one(const Context& ctx, const std::string& full, const Load& load,
                                           For what) {
  Claim claim = cache_.claim(ctx, full, options_.load_timeout);
  if (claim.state == Claim::State::taken) {
    if (what == For::refresh) return std::nullopt;
    if (auto theirs = wait_for_another(ctx, full, claim)) return theirs;
  }
  // Under the claim, since another may have been here between our look and it. Who refreshes wants more than
  // what is about to be old.
  const Found again = find(ctx, full, what == For::miss ? Look::nearest : Look::shared);
  const bool there = again.entry && again.entry->fresh_for > Duration(0);
  if (there && (what == For::miss || 2 * again.entry->age < options_.fresh_for)) {
    cache_.give_up(ctx, full, claim);
    return judge(*again.entry).loaded;
  }
  return load_and_keep(ctx, full, load, claim);
}

std::optional<Loaded> Loading::wait_for_another(const Context& ctx, const std::string& full, Claim& claim) {
  const Instant until = clock_.now() + options_.claim_wait;
  Duration pause = kFirstLook;
  while (claim.state == Claim::State::taken && clock_.now() < until) {
    // Never at once with the others that wait for it.
    const auto most = static_cast<std::uint64_t>(pause.count());
    runtime::sleep_for(ctx, Duration(static_cast<std::int64_t>(most / 2 + random_.below(most / 2 + 1))));
    pause = std::min(2 * pause, kLongestLook);
    const Found found = find(ctx, full, Look::shared);
    if (found.entry && found.entry->fresh_for > Duration(0)) return judge(*found.entry).loaded;
    claim = cache_.claim(ctx, full, options_.load_timeout);
  }
  return std::nullopt;
}

Loaded Loading::load_and_keep(const Context& ctx, const std::string& full, const Load& load,
                              const Claim& claim) {
  const Instant begun = clock_.now();
  Value value;
  try {
    value = load(ctx);
  } catch (...) {
    meters_.failed.add();
    cache_.give_up(ctx, full, claim);
    throw;
  }
  const Duration took = clock_.now() - begun;
  meters_.load_seconds.observe(took);
  (value.object ? meters_.loaded : meters_.found_absent).add();
  const Entry entry = entry_of(std::move(value), took);
  if (entry.usable_for <= Duration(0)) {
    cache_.give_up(ctx, full, claim);
  } else if (cache_.put(ctx, full, claim, entry) == Kept::refused) {
    meters_.not_kept.add();
  }
  return {.value = entry.value};
}

void Loading::invalidate(const Context& ctx, std::string_view key) {
  invalidations_.fetch_add(1, std::memory_order_release);
  cache_.invalidate(ctx, full_key(key));
}

void Loading::put(const Context& ctx, std::string_view key, const Value& value) {
  const std::string full = full_key(key);
  invalidate(ctx, key);  // voids the claims of those who load what was there before
  const Claim claim = cache_.claim(ctx, full, options_.load_timeout);
  if (claim.state != Claim::State::taken) cache_.put(ctx, full, claim, entry_of(value, Duration(0)));
}

}  // namespace holdfast::cache
