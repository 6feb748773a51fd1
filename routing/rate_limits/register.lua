-- Write keys' limits, and the state of a key that Redis does not know.
--
-- For the Redis keys see reserve.lua.
--
-- ARGV  1 now ('' = server clock)  2 mode, then 8 values a key:
--       id, version, spacing ms, windows, daily ('' = none), reset ms, cold ms, used today
--       mode 'edit'     write the limits of known keys, unless a newer version is there; state stays
--       mode 'register' write limits and state of unknown keys only: whoever comes first decides.
--                       cold = nothing is granted for so long; -1 = every earlier use is known (none)
-- Reply {now us, {ids that were not known before this call}}

local now, now_us = clock(ARGV[1])
local mode, absent = ARGV[2], {}

-- A window that is new to the key gets a ring that can only be too full: the times that other rings
-- know, and before them the oldest known time once for each grant that may have been made.
local function seed_ring(key, window, rings)
  local source, known = nil, 0
  for _, other in ipairs(rings) do
    if other.held > known then source, known = other.ring, other.held end
  end
  local times = source and redis.call('LRANGE', source, 0, window.count - 1) or {}
  local made = key.known == 1 and key.seq or window.count
  local oldest = times[#times] or math.max(key.last, key.born)
  while #times < math.min(window.count, made) do times[#times + 1] = oldest end
  for _, at in ipairs(times) do redis.call('RPUSH', window.ring, at) end
  if #times > 0 then
    redis.call('PEXPIRE', window.ring, math.max(key.last - now, 0) + window.ms + 60000)
  end
end

local function change_windows(key, text)
  local rings, kept = {}, {}
  for _, window in ipairs(key.windows) do
    window.held = redis.call('LLEN', window.ring)
    rings[#rings + 1] = window
  end
  local windows, longest = parse_windows(key.id, text)
  for _, window in ipairs(windows) do
    kept[window.ring] = true
    local recent = math.max(key.last, key.known == 1 and 0 or key.born) > now - window.ms
    if redis.call('EXISTS', window.ring) == 0 and recent then seed_ring(key, window, rings) end
  end
  for _, window in ipairs(key.windows) do
    if not kept[window.ring] then redis.call('DEL', window.ring) end
  end
  key.windows, key.longest = windows, longest
end

local function limits(i)
  return {version = ARGV[i + 1], spacing = ARGV[i + 2], windows = ARGV[i + 3], daily = ARGV[i + 4],
    reset_ms = ARGV[i + 5]}
end

local function write(id, new)
  redis.call('HSET', key_name(id), 'version', new.version, 'spacing', new.spacing,
    'windows', new.windows, 'daily', new.daily, 'reset_ms', new.reset_ms)
end

local function edit(key, new)
  if tonumber(new.version) < key.version then return end
  change_windows(key, new.windows)
  write(key.id, new)
  touch(key)
  lower_scores(key)
end

local function register(id, new, cold, used)
  write(id, new)
  local windows, longest = parse_windows(id, new.windows)
  for _, window in ipairs(windows) do redis.call('DEL', window.ring) end
  local key = {id = id, reset_ms = tonumber(new.reset_ms), longest = longest}
  redis.call('HSET', key_name(id), 'state', 'closed', 'since', now, 'multiplier', 1, 'born', now,
    'known', cold < 0 and 1 or 0, 'cold_until', cold < 0 and 0 or now + cold,
    'day', day_of(key, now), 'used', used)
  touch(key)
end

for i = 3, #ARGV, 8 do
  local key = load_key(ARGV[i])
  if not key then absent[#absent + 1] = ARGV[i] end
  if key and mode == 'edit' then
    edit(key, limits(i))
  elseif not key and mode == 'register' then
    register(ARGV[i], limits(i), tonumber(ARGV[i + 6]), tonumber(ARGV[i + 7]))
  end
end
return {now_us, absent}
