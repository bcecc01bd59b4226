#include "holdfast/messaging/redis/internal/scripts.hpp"

#include <string>

namespace holdfast::messaging::redis_streams {
namespace {

constexpr const char* kIdentity = R"lua(
local function identity()
  local id = redis.call('HGET', KEYS[1], 'id')
  if not id or id == '' then return '' end
  return id .. '@' .. string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end
)lua";

// A damaged log is begun anew as a whole; its streams are known to be ours. Where the hash is not there,
// streams would be somebody else's.
constexpr const char* kIdentify = R"lua(
local known = identity()
if known ~= '' then return {known} end
if ARGV[2] ~= '1' then return {''} end
local damaged = redis.call('EXISTS', KEYS[1]) == 1
if damaged and redis.call('HEXISTS', KEYS[1], 'id') == 0 then return {'taken', KEYS[1]} end
for i = 2, #KEYS do
  if damaged then
    redis.call('DEL', KEYS[i])
  elseif redis.call('EXISTS', KEYS[i]) == 1 then
    return {'taken', KEYS[i]}
  end
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'messages', 0, 'bytes', 0)
return {identity()}
)lua";

// Positions are compared by Redis itself too, as ids; by the hash first, since it tells a message that was
// sent twice from a stream that somebody else writes to.
constexpr const char* kAdd = R"lua(
if identity() ~= ARGV[1] then return 'other' end
local field = 'b' .. ARGV[2]
local have = redis.call('HMGET', KEYS[1], field, 'messages', 'bytes')
if have[1] then
  if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('HSET', KEYS[1], 'id', '')
    return 'other'
  end
  if tonumber(have[1]) >= tonumber(ARGV[3]) then return 'known' end
end
if tonumber(have[2] or 0) >= tonumber(ARGV[4]) or tonumber(have[3] or 0) >= tonumber(ARGV[5]) then
  return 'full'
end
local entry = {'XADD', KEYS[2], ARGV[3] .. '-0'}
for i = 6, #ARGV do entry[#entry + 1] = ARGV[i] end
local added = redis.pcall(unpack(entry))
if type(added) == 'table' and added['err'] then
  if string.find(added['err'], 'equal or smaller') then return 'foreign' end
  return added
end
redis.call('HSET', KEYS[1], field, ARGV[3])
redis.call('HINCRBY', KEYS[1], 'messages', 1)
return 'added'
)lua";

constexpr const char* kTrim = R"lua(
if identity() ~= ARGV[1] then return 0 end
local gone = redis.call('XTRIM', KEYS[2], 'MINID', '=', ARGV[2] .. '-1')
if gone > 0 then redis.call('HINCRBY', KEYS[1], 'messages', -gone) end
return gone
)lua";

// Never beyond the last entry: Redis knows no lag of a group that is ahead of its stream.
constexpr const char* kTell = R"lua(
local last = redis.call('HGET', KEYS[1], 'b' .. ARGV[1])
if not last or redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local position = ARGV[3]
if tonumber(position) > tonumber(last) then position = last end
local moved = redis.pcall('XGROUP', 'SETID', KEYS[2], ARGV[2], position .. '-0')
if type(moved) == 'table' and moved['err'] then
  redis.call('XGROUP', 'CREATE', KEYS[2], ARGV[2], position .. '-0')
end
return 1
)lua";

std::string with_identity(const char* script) { return std::string(kIdentity) + script; }

}  // namespace

Scripts::Scripts()
    : identify(with_identity(kIdentify)), add(with_identity(kAdd)), trim(with_identity(kTrim)), tell(kTell) {}

}  // namespace holdfast::messaging::redis_streams
