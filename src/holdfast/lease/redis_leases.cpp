#include "holdfast/lease/redis_leases.hpp"

namespace holdfast::lease {
namespace {

using redis::Script;

std::string milliseconds(Duration time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
}

std::string owner(std::string_view holder, Fence fence) {
  return std::to_string(fence).append(" ").append(holder);
}

// KEYS: the lease, its last fence. ARGV: holder, milliseconds. Returns the fence as text, since a Lua number
// would do for it only by luck; nothing where it is taken.
const Script& take_script() {
  static const Script script(R"lua(
if redis.call('exists', KEYS[1]) == 1 then return false end
local time = redis.call('time')
local now = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('get', KEYS[2]) or 0)
local fence = string.format('%.0f', math.max(last + 1, now))
redis.call('set', KEYS[2], fence)
redis.call('set', KEYS[1], fence .. ' ' .. ARGV[1], 'PX', ARGV[2])
return fence
)lua");
  return script;
}

// KEYS: the lease. ARGV: owner, milliseconds.
const Script& renew_script() {
  static const Script script(
      "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end return redis.call('pexpire', KEYS[1], "
      "ARGV[2])");
  return script;
}

const Script& release_script() {
  static const Script script(
      "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end return redis.call('del', KEYS[1])");
  return script;
}

constexpr resilience::CallOptions kRepeatable{.idempotent = true};

}  // namespace

std::optional<Fence> RedisLeases::try_take(const Context& ctx, std::string_view name, std::string_view holder,
                                           Duration time) {
  require_sound(name, holder, time);
  const std::string lease = key(name);
  const redis::Reply reply =
      client_.eval(ctx, take_script(), {lease, lease + ":fence"}, {holder, milliseconds(time)});
  if (reply.nil()) return std::nullopt;
  return std::stoll(reply.as_text());
}

bool RedisLeases::renew(const Context& ctx, std::string_view name, std::string_view holder, Fence fence,
                        Duration time) {
  require_sound(name, holder, time);
  return client_
             .eval(ctx, renew_script(), {key(name)}, {owner(holder, fence), milliseconds(time)}, kRepeatable)
             .as_integer() == 1;
}

void RedisLeases::release(const Context& ctx, std::string_view name, std::string_view holder, Fence fence) {
  client_.eval(ctx, release_script(), {key(name)}, {owner(holder, fence)}, kRepeatable);
}

}  // namespace holdfast::lease
