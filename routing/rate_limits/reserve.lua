-- Reserve up to n calls on the keys of a pool, earliest first, in one atomic step.
--
-- A grant is (key id, moment in ms, sequence number, count): `count` calls may be made on that key
-- at that moment. Only an unlimited key has a count above 1. What can't be granted within the
-- horizon consumes nothing; the answer then says when to come back and what binds.
--
-- Redis keys. All share the hash tag {rl}; times are Unix milliseconds on THIS server's clock.
--
--   {rl}:pool:<name>:<digest>   ZSET    member = key id, score = lower bound of its next free moment.
--       The digest is that of the pool's key ids: a process that still has the old list of keys
--       keeps to its own set. Scores may be too low, because a key may be in several pools: the
--       minimum is recomputed from the key itself before it is believed. Lives a day past its use.
--   {rl}:key:<id>               HASH    one key (id = fingerprint; the secret is never here):
--       version spacing windows daily reset_ms   its limits, as registered ('' daily = no quota;
--                                                windows '165:30000;...' = count:ms)
--       born known               when registered; known = 1: every earlier use is known (none)
--       cold_until               nothing before this moment: the limits' state had been lost, or a window came anew
--                                whose ring would be too long to fill
--       last seq                 the latest grant's moment; number of grants (the latest's sequence)
--       holder run_since         who has the latest grant; moment of the first of its grants in a row
--       day used                 the latest grant's day and the grants of that day
--       carried past             how many of them were counted before the reset time was last changed; what was counted
--                                within a day before, 'latest moment:calls ...': a day by another reset time may need it
--       wait_until multiplier widened_at clean throttled
--                                Retry-After's end; factor on spacing; grants made before widened_at
--                                don't widen again; clean calls since; number of 429s ever
--       state since why until    circuit: closed | open | half_open; until = end of the open time,
--                                or of the probe's lease
--       errors                   moments of the latest failures, within a minute
--       pools                    names of the pools it is in (to lower scores)
--       Lives two days and its longest window past its last use.
--   {rl}:ring:<id>:<window_ms>  LIST    newest first, moments of the latest `count` grants: a window
--       allows the next one window_ms after the count-th latest. Lives a window past its use.
--
-- Key holders. Two callers whose grants of a key alternate can neither make good a delay of their own (the next slot is
-- the other's) nor keep the distance by their own clock. So a key that is spaced stays with its holder for a run of one
-- horizon, as long as the holder keeps reserving: another gets it once the run is over, or once the key is free within a
-- quarter of the horizon, which it never is while its holder is hungry. Nothing is left unused, and nobody waits for
-- longer than a run.
--
-- Should the server's clock be set back, keys wait until it has caught up.
--
-- KEYS  1 pool
-- ARGV  1 now ('' = server clock)  2 n  3 horizon ms  4 spacing margin ms  5 window margin ms
--       6 probe lease ms  7 slack ms: the caller may use the last slot of each key up to so much later
--       than granted; the key's next grants keep clear of that  8 holder: a name of the caller's, '' for none
-- Reply {now us, not before ms (0: all granted), reason, {unknown ids},
--        'id at seq count id at seq count ...'} (one text: a client reads it many times faster)
--       reason is '' | spacing | window | daily_quota | circuit_open | no_keys | pool_unknown
--               | held (others hold what is free within the horizon: ask again soon)

local pool, wanted = KEYS[1], tonumber(ARGV[2])
local now, now_us = clock(ARGV[1])
local horizon = now + tonumber(ARGV[3])
local margins = {spacing = tonumber(ARGV[4]), window = tonumber(ARGV[5])}
local probe_lease, slack, holder = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local near, run = (horizon - now) / 4, horizon - now
-- A probe's answer is mostly there within a second, and the key free then; its lease only bounds one that died.
local PROBE_LOOK_MS = 5000

if redis.call('EXISTS', pool) == 0 then return {now_us, 0, 'pool_unknown', {}, ''} end

local keys, unknown, grants = {}, {}, {}
local granted, not_before, reason = 0, 0, ''
-- Keys in others' hands come first in the pool's order and are stepped over.
local held, held_until = 0, 0

local function plan(key)
  key.at, key.binds = next_free(key, now, margins, holder)
end

local function find(id)
  if keys[id] == nil then
    keys[id] = load_key(id) or false
    if keys[id] then plan(keys[id]) end
  end
  return keys[id]
end

local function is_unlimited(key)
  return key.spacing == 0 and #key.windows == 0 and not key.daily and key.state == 'closed'
end

local function is_held(key)
  return holder ~= '' and key.holder ~= '' and key.holder ~= holder and key.spacing > 0
    and key.at > now + near and key.at < key.run_since + run
end

local function record(key, at, count)
  local day = day_of(key, at)
  if key.day ~= day then close_count(key, now) end
  key.used = key.used + count
  key.day, key.last, key.seq, key.dirty = day, at, key.seq + count, true
  if key.holder ~= holder then key.holder, key.run_since = holder, at end
  for _, window in ipairs(key.windows) do
    window.held = redis.call('LPUSH', window.ring, at)
    if window.held > window.count then
      redis.call('LTRIM', window.ring, 0, window.count - 1)
      window.held = window.count
    end
  end
  if key.state ~= 'closed' then
    if key.state == 'open' then key.since = now end
    key.state, key['until'] = 'half_open', at + probe_lease
  end
end

local function grant(key)
  local at, count = key.at, 1
  if is_unlimited(key) and at == now then count = wanted - granted end
  record(key, at, count)
  plan(key)
  redis.call('ZADD', pool, key.at, key.id)
  granted = granted + count
  local n = #grants
  grants[n + 1], grants[n + 2], grants[n + 3], grants[n + 4] = key.id, at, key.seq, count
end

local function save(key)
  if not is_unlimited(key) then key.last = key.last + slack end
  redis.call('HSET', key_name(key.id), 'last', key.last, 'seq', key.seq, 'day', key.day,
    'used', key.used, 'carried', key.carried, 'past', key.past, 'state', key.state, 'since', key.since, 'until', key['until'],
    'holder', key.holder, 'run_since', key.run_since)
  touch(key)
  for _, window in ipairs(key.windows) do
    if slack > 0 then redis.call('LSET', window.ring, 0, key.last) end
    redis.call('PEXPIRE', window.ring, math.max(key.last - now, 0) + window.ms + margins.window + 1000)
  end
end

while granted < wanted do
  local head = redis.call('ZRANGE', pool, held, held, 'WITHSCORES')
  if #head == 0 then
    if held == 0 then reason = 'no_keys' end
    break
  end
  local key = find(head[1])
  if not key then
    redis.call('ZREM', pool, head[1])
    unknown[#unknown + 1] = head[1]
  elseif key.at > now and key.at > tonumber(head[2]) then
    redis.call('ZADD', pool, key.at, key.id)
  elseif key.at > horizon then
    not_before, reason = key.at, key.binds
    if key.state == 'half_open' then not_before = math.min(not_before, horizon + PROBE_LOOK_MS) end
    break
  elseif is_held(key) then
    held = held + 1
    if held_until == 0 then held_until = key.at end
  else
    grant(key)
  end
end

if granted < wanted and held > 0 then not_before, reason = held_until, 'held' end
for _, key in pairs(keys) do
  if key and key.dirty then save(key) end
end
redis.call('PEXPIRE', pool, DAY_MS)
return {now_us, not_before, reason, unknown, table.concat(grants, ' ')}
