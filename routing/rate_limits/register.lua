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

-- Redis does nothing else while a ring is filled: more than this takes it longer than other callers should wait.
local FILL_MOST = 5000
-- How many of them are pushed at a time; Lua passes a few thousand arguments at most.
local PUSH_MOST = 1000
-- What a hold in place of a ring adds to the window: more than a margin of it.
local HOLD_MARGIN_MS = 1000

local function fill(ring, times)
  for i = 1, #times, PUSH_MOST do
    redis.call('RPUSH', ring, unpack(times, i, math.min(i + PUSH_MOST - 1, #times)))
  end
end

-- A window that is new to the key gets a ring that can only be too full: the times that other rings
-- know, and before them the oldest known time once for each grant that may have been made. Where that
-- would be too long, nothing is granted until all that was granted has left the window.
local function seed_ring(key, window, rings)
  local source, known = nil, 0
  for _, other in ipairs(rings) do
    if other.held > known then source, known = other.ring, other.held end
  end
  local wanted = math.min(window.count, key.known == 1 and key.seq or window.count)
  local latest = math.max(key.last, key.born)
  if known >= wanted and wanted > 0 then
    redis.call('COPY', source, window.ring)
    redis.call('LTRIM', window.ring, 0, wanted - 1)
  elseif wanted > FILL_MOST then
    key.cold_until = math.max(key.cold_until, latest + window.ms + HOLD_MARGIN_MS)
    return
  else
    local times = source and redis.call('LRANGE', source, 0, -1) or {}
    local oldest = times[#times] or latest
    while #times < wanted do times[#times + 1] = oldest end
    fill(window.ring, times)
  end
  redis.call('PEXPIRE', window.ring, math.max(key.last - now, 0) + window.ms + 60000)
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

-- The day that is running by the new reset time has begun with what was used since then.
local function change_reset(key, reset_ms)
  if reset_ms == key.reset_ms then return end
  local parts = close_count(key, now)
  key.reset_ms = reset_ms
  key.day = day_of(key, math.max(now, key.last))
  for _, part in ipairs(parts) do
    if part[1] >= day_start(key, key.day) then key.carried = key.carried + part[2] end
  end
  key.used = key.carried
  redis.call('HSET', key_name(key.id), 'day', key.day, 'used', key.used, 'carried', key.carried, 'past', key.past)
end

local function edit(key, new)
  if tonumber(new.version) < key.version then return end
  change_windows(key, new.windows)
  change_reset(key, tonumber(new.reset_ms))
  redis.call('HSET', key_name(key.id), 'cold_until', key.cold_until)
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
