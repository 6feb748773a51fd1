-- What the scripts of this folder share; it is put in front of each of them. The keys and fields
-- named here are documented at the head of reserve.lua.

local P = '{rl}:'
local DAY_MS = 86400000
local MAX_MULTIPLIER = 8
local ERRORS_TO_OPEN = 5
local ERRORS_WITHIN_MS = 60000
-- How long a key is remembered after its last use, on top of its longest window.
local KEEP_MS = 2 * DAY_MS
-- Earlier parts of a key's count that are kept apart; beyond that the oldest become one.
local MAX_PARTS = 24

-- Fields of a key's hash. NUMBERS are read as numbers (0 when absent).
local TEXTS = {'windows', 'daily', 'state', 'why', 'errors', 'pools', 'holder', 'past'}
local NUMBERS = {'version', 'spacing', 'reset_ms', 'known', 'born', 'cold_until', 'last', 'seq',
  'run_since', 'day', 'used', 'carried', 'wait_until', 'multiplier', 'widened_at', 'clean', 'throttled', 'since', 'until'}
local FIELDS = {}
for _, name in ipairs(TEXTS) do FIELDS[#FIELDS + 1] = name end
for _, name in ipairs(NUMBERS) do FIELDS[#FIELDS + 1] = name end

-- The moment in milliseconds (rounded up: a grant is never early) and in microseconds. `given` is
-- a test's own clock, '' otherwise: the server's clock is the only one that all workers share.
local function clock(given)
  if given ~= '' then return tonumber(given), tonumber(given) * 1000 end
  local time = redis.call('TIME')
  local us = time[1] * 1000000 + time[2]
  return math.ceil(us / 1000), us
end

local function key_name(id) return P .. 'key:' .. id end
local function ring_name(id, window_ms) return P .. 'ring:' .. id .. ':' .. window_ms end

-- '165:30000;1000:3600000' -> {{count, ms}, ...} and the longest window.
local function parse_windows(id, text)
  local windows, longest = {}, 0
  for count, ms in string.gmatch(text, '(%d+):(%d+)') do
    windows[#windows + 1] = {count = tonumber(count), ms = tonumber(ms), ring = ring_name(id, ms)}
    longest = math.max(longest, tonumber(ms))
  end
  return windows, longest
end

-- A key's configuration and state, or nil when it is not registered.
local function load_key(id)
  local values = redis.call('HMGET', key_name(id), unpack(FIELDS))
  if not values[3] then return nil end
  local key = {id = id}
  for i, name in ipairs(FIELDS) do
    if i <= #TEXTS then key[name] = values[i] or '' else key[name] = tonumber(values[i] or 0) end
  end
  key.daily = tonumber(key.daily)
  key.windows, key.longest = parse_windows(id, key.windows)
  return key
end

local function touch(key)
  redis.call('PEXPIRE', key_name(key.id), KEEP_MS + key.longest)
end

-- A day starts at the key's reset time; `day` counts them.
local function day_of(key, at) return math.floor((at - key.reset_ms) / DAY_MS) end
local function day_start(key, day) return day * DAY_MS + key.reset_ms end

local function used_on(key, day)
  if key.day == day then return key.used end
  return 0
end

-- The count so far becomes a part of the past: {the latest moment in it, calls}. A day by another reset time may need it.
local function close_count(key, now)
  local parts = {}
  for at, calls in string.gmatch(key.past, '(%d+):(%d+)') do
    if tonumber(at) > now - DAY_MS then parts[#parts + 1] = {tonumber(at), tonumber(calls)} end
  end
  local own = key.used - key.carried
  if own > 0 then parts[#parts + 1] = {math.max(key.last, key.born), own} end
  if #parts > MAX_PARTS then
    parts[2][2] = parts[1][2] + parts[2][2]
    table.remove(parts, 1)
  end
  local words = {}
  for i, part in ipairs(parts) do words[i] = string.format('%.0f:%.0f', part[1], part[2]) end
  key.past, key.used, key.carried = table.concat(words, ' '), 0, 0
  return parts
end

-- A day's quota holds, and no grant stands so near the turn of a day (`guard` ms to either side)
-- that the receiver could count it on the other one.
local function apply_quota(key, at, why, guard)
  if not key.daily then return at, why end
  local day = day_of(key, at)
  if at > day_start(key, day + 1) - guard then
    day, at, why = day + 1, day_start(key, day + 1) + guard, 'daily_quota'
  elseif at < day_start(key, day) + guard then
    at, why = day_start(key, day) + guard, 'daily_quota'
  end
  if used_on(key, day) >= key.daily then
    at, why = day_start(key, day + 1) + guard, 'daily_quota'
  end
  return at, why
end

-- The earliest moment from `now` on at which the key may be used, and what binds it. A key's grants
-- only ever move forward, also where spacing is 0, so that `day` and the rings stay in order.
-- Whoever holds the grant before keeps the distance by its own clock, so it needs less of a margin: see key holders at
-- the head of reserve.lua.
local function next_free(key, now, margins, holder)
  local at, why = now, 'spacing'
  local function later(moment, reason)
    if moment > at then at, why = moment, reason end
  end
  if key.state ~= 'closed' then later(key['until'], 'circuit_open') end
  later(key.cold_until, 'window')
  later(key.wait_until, 'spacing')
  if key.spacing > 0 and key.seq > 0 then
    local margin = margins.spacing
    if holder and holder ~= '' and key.holder == holder then margin = math.min(margin, math.floor(margin / 2) + 1) end
    later(key.last + math.ceil(key.spacing * key.multiplier) + margin, 'spacing')
  else
    later(key.last, 'spacing')
  end
  for _, window in ipairs(key.windows) do
    window.held = window.held or redis.call('LLEN', window.ring)
    if window.held >= window.count then
      -- The tail is reached at once; another place only until the first grant after a lower count.
      local place = window.held == window.count and -1 or window.count - 1
      later(tonumber(redis.call('LINDEX', window.ring, place)) + window.ms + margins.window, 'window')
    end
  end
  return apply_quota(key, at, why, margins.window)
end

-- Something let the key be free EARLIER than its pools think: their scores must be lower bounds.
local function lower_scores(key)
  for pool in string.gmatch(key.pools, '%S+') do
    if redis.call('EXISTS', pool) == 1 then redis.call('ZADD', pool, 'XX', 0, key.id) end
  end
end
