-- Move the latest grant of a key to a later moment: its holder was kept from sending in time.
--
-- Possible only while nobody holds a later grant of the key, and not across the turn of a day; then
-- the call may still be made, up to the new moment. For the Redis keys see reserve.lua.
--
-- ARGV  1 now ('' = server clock)  2 window margin ms  3 key id  4 sequence number of the grant
--       5 ms from now to the new moment
-- Reply the new moment in ms, 0 = not possible

local now = clock(ARGV[1])
local guard, key = tonumber(ARGV[2]), load_key(ARGV[3])
if not key or key.seq ~= tonumber(ARGV[4]) then return 0 end

local at = math.max(now + tonumber(ARGV[5]), key.last)
if key.daily and at > day_start(key, key.day + 1) - guard then return 0 end

for _, window in ipairs(key.windows) do
  if redis.call('LLEN', window.ring) > 0 then redis.call('LSET', window.ring, 0, at) end
end
redis.call('HSET', key_name(key.id), 'last', at)
return at
