-- Move the latest grants of keys to later moments: their holder was kept from sending in time.
--
-- Possible only while nobody holds a later grant of the key, and not across the turn of a day; then
-- the calls may still be made, each up to its new moment. For the Redis keys see reserve.lua.
--
-- ARGV  1 window margin ms, then 4 values a key:
--       key id, sequence number of its latest grant, number of grants to move, shift ms
-- Reply one number a key: 1 = moved, 0 = not possible

local guard = tonumber(ARGV[1])

local function postpone(key, calls, shift)
  local last = key.last + shift
  if key.daily and last > day_start(key, key.day + 1) - guard then return 0 end
  for _, window in ipairs(key.windows) do
    local moments = redis.call('LRANGE', window.ring, 0, calls - 1)
    for i, at in ipairs(moments) do
      redis.call('LSET', window.ring, i - 1, tonumber(at) + shift)
    end
  end
  redis.call('HSET', key_name(key.id), 'last', last)
  -- A hold in place of a ring (register.lua) counts from the latest grant.
  if key.cold_until > last then redis.call('HSET', key_name(key.id), 'cold_until', key.cold_until + shift) end
  return 1
end

local answer = {}
for i = 2, #ARGV, 4 do
  local key, moved = load_key(ARGV[i]), 0
  if key and key.seq == tonumber(ARGV[i + 1]) then
    moved = postpone(key, tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]))
  end
  answer[#answer + 1] = moved
end
return answer
