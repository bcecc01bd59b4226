#include "holdfast/cache/redis_cache.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/error.hpp"
#include "holdfast/cache/internal/envelope.hpp"

namespace holdfast::cache {
namespace {

// Under the claim only. KEYS: value, claim. ARGV: token, envelope, milliseconds to live.
const redis::Script& put_script() {
  static const redis::Script script(
      "if redis.call('get', KEYS[2]) ~= ARGV[1] then return 0 end "
      "redis.call('set', KEYS[1], ARGV[2], 'PX', ARGV[3]) "
      "redis.call('del', KEYS[2]) return 1");
  return script;
}

const redis::Script& give_up_script() {
  static const redis::Script script(
      "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0");
  return script;
}

// KEYS: value, claim. ARGV: channel, key.
const redis::Script& invalidate_script() {
  static const redis::Script script(
      "redis.call('del', KEYS[1], KEYS[2]) redis.call('publish', ARGV[1], ARGV[2]) return 1");
  return script;
}

std::string milliseconds(Duration duration) {
  return std::to_string(
      std::max<std::int64_t>(1, std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()));
}

constexpr resilience::CallOptions kRepeatable{.idempotent = true};

}  // namespace

RedisCache::RedisCache(redis::Client& client, Random& random, RedisCacheOptions options)
    : client_(client),
      random_(random),
      options_(std::move(options)),
      channel_(options_.prefix + "cache:invalidations") {}

std::string RedisCache::value_key(std::string_view key) const {
  return std::string(options_.prefix).append("c:").append(key);
}
std::string RedisCache::claim_key(std::string_view key) const {
  return std::string(options_.prefix).append("l:").append(key);
}

Found RedisCache::find(const Context& ctx, std::string_view key, const Decode& decode, Look) {
  const std::string name = value_key(key);
  redis::Commands ask;
  ask.add({"GET", name}).add({"PTTL", name});
  const auto answers = client_.try_commands(ctx, ask, kRepeatable);
  if (!answers) return {.away = true};
  const redis::Reply& bytes = (*answers)[0];
  const redis::Reply& left = (*answers)[1];
  if (bytes.error() || left.error()) return {.away = true};
  if (bytes.kind != redis::Reply::Kind::text || left.kind != redis::Reply::Kind::integer || left.integer <= 0)
    return {};
  const auto envelope = internal::unseal(bytes.text);
  if (!envelope) return {};
  Entry entry;
  entry.usable_for = std::chrono::milliseconds(left.integer);
  entry.fresh_for = entry.usable_for - envelope->stale_for;
  entry.load_took = envelope->load_took;
  entry.age = std::max(envelope->life - entry.usable_for, Duration(0));
  entry.value.bytes = envelope->encoded.size();
  if (!envelope->absent) {
    entry.value.object = decode(envelope->encoded);
    if (!entry.value.object) return {};
  }
  return {.entry = std::move(entry)};
}

Claim RedisCache::claim(const Context& ctx, std::string_view key, Duration time) {
  std::array<std::uint8_t, 12> token{};
  for (std::size_t i = 0; i < token.size(); i += 4) {  // tells loaders apart; no secret
    const std::uint64_t bits = random_.next();
    for (std::size_t j = 0; j < 4; ++j) token[i + j] = static_cast<std::uint8_t>(bits >> (8 * j));
  }
  Claim claim{.state = Claim::State::away, .token = encode_hex(token)};
  const auto answer =
      client_.try_command(ctx, {"SET", claim_key(key), claim.token, "NX", "PX", milliseconds(time)});
  if (answer) claim.state = answer->ok() ? Claim::State::granted : Claim::State::taken;
  return claim;
}

Kept RedisCache::put(const Context& ctx, std::string_view key, const Claim& claim, const Entry& entry) {
  if (claim.state != Claim::State::granted) return Kept::away;
  const bool absent = entry.value.object == nullptr;
  const std::string_view encoded = absent ? std::string_view() : std::string_view(*entry.value.encoded);
  if (encoded.size() > options_.max_value_bytes || entry.usable_for < std::chrono::milliseconds(1)) {
    give_up(ctx, key, claim);
    return Kept::refused;
  }
  const std::string bytes =
      internal::seal({.absent = absent,
                      .life = entry.age + entry.usable_for,
                      .stale_for = entry.usable_for - std::max(entry.fresh_for, Duration(0)),
                      .load_took = entry.load_took,
                      .encoded = encoded});
  const auto answer = client_.try_eval(ctx, put_script(), {value_key(key), claim_key(key)},
                                       {claim.token, bytes, milliseconds(entry.usable_for)});
  if (!answer || answer->kind != redis::Reply::Kind::integer) return Kept::away;
  return answer->integer == 1 ? Kept::kept : Kept::refused;
}

void RedisCache::give_up(const Context& ctx, std::string_view key, const Claim& claim) noexcept {
  if (claim.state != Claim::State::granted) return;
  try {
    // Also where the caller's own time is over: others wait for it.
    const Context own = ctx.detached().with_timeout(std::chrono::milliseconds(250));
    (void)client_.try_eval(own, give_up_script(), {claim_key(key)}, {claim.token}).called();
  } catch (...) {  // it ends by itself
  }
}

void RedisCache::invalidate(const Context& ctx, std::string_view key) {
  client_.eval(ctx, invalidate_script(), {value_key(key), claim_key(key)}, {channel_, key}, kRepeatable);
}

}  // namespace holdfast::cache
