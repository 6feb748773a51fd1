-- Tell how keys stand, for pages and metrics. Changes nothing. For the Redis keys see reserve.lua.
--
-- ARGV  1 now ('' = server clock)  2 spacing margin ms  3 window margin ms, then key ids
-- Reply one list a key: {id, used today, daily ('' = none), next free ms, binds, multiplier (text),
--       state, since ms, why, number of 429s, latest grant ms (0 = never), wait until ms,
--       cold until ms}; {} for an unknown key

local now = clock(ARGV[1])
local margins = {spacing = tonumber(ARGV[2]), window = tonumber(ARGV[3])}
local answer = {}
for i = 4, #ARGV do
  local key = load_key(ARGV[i])
  if key then
    local at, binds = next_free(key, now, margins)
    answer[#answer + 1] = {key.id, used_on(key, day_of(key, now)), key.daily or '', at, binds,
      tostring(key.multiplier), key.state, key.since, key.why, key.throttled, key.last,
      key.wait_until, key.cold_until}
  else
    answer[#answer + 1] = {}
  end
end
return answer
