-- Take in how calls went: widen and narrow spacing, open and close circuits.
--
-- For the Redis keys see reserve.lua. An unknown key is passed over: it will start cold.
--
-- ARGV  1 now ('' = server clock)  2 open time of a circuit ms, then 4 values a report:
--       'throttled'    id  retry after ms     moment of the grant ('' = now)
--       'clean'        id  number of calls    ''
--       'unauthorized' id  why                ''
--       'failed'       id  why                ''
--       'reset'        id  ''                 ''
-- Reply one state a report, '' for an unknown key

local now = clock(ARGV[1])
local open_ms = tonumber(ARGV[2])
local CLEAN_TO_NARROW = 100
local reports = {}

local function set_circuit(key, state, why, until_ms)
  key.state, key.why, key['until'], key.since, key.errors = state, why, until_ms, now, ''
end

-- In the open state calls that began earlier still come back: they say nothing new.
function reports.unauthorized(key, why)
  if key.state ~= 'open' then set_circuit(key, 'open', why, now + open_ms) end
end

function reports.failed(key, why)
  if key.state == 'half_open' then
    set_circuit(key, 'open', why, now + open_ms)
  elseif key.state == 'closed' then
    local recent = {}
    for at in string.gmatch(key.errors, '%d+') do
      if tonumber(at) > now - ERRORS_WITHIN_MS then recent[#recent + 1] = at end
    end
    recent[#recent + 1] = string.format('%.0f', now)
    key.errors = table.concat(recent, ' ')
    if #recent >= ERRORS_TO_OPEN then set_circuit(key, 'open', why, now + open_ms) end
  end
end

-- A burst under way when the first 429 came back widens once. To a probe it is no verdict: the next
-- probe goes when Retry-After is over.
function reports.throttled(key, retry_after, granted_at)
  key.throttled = key.throttled + 1
  key.clean = 0
  key.wait_until = math.max(key.wait_until, now + tonumber(retry_after))
  if granted_at == '' or tonumber(granted_at) >= key.widened_at then
    key.multiplier = math.min(key.multiplier * 1.5, MAX_MULTIPLIER)
    key.widened_at = now
  end
  if key.state == 'half_open' then key['until'] = now end
end

function reports.clean(key, count)
  if key.state == 'half_open' then
    set_circuit(key, 'closed', '', 0)
    lower_scores(key)
  end
  if key.multiplier == 1 then return end
  key.clean = key.clean + tonumber(count)
  while key.clean >= CLEAN_TO_NARROW and key.multiplier > 1 do
    key.clean = key.clean - CLEAN_TO_NARROW
    key.multiplier = key.multiplier / 1.25
    -- 1.5 and 1.25 never meet again at exactly 1.
    if key.multiplier < 1.001 then key.multiplier = 1 end
    lower_scores(key)
  end
end

function reports.reset(key)
  set_circuit(key, 'closed', '', 0)
  lower_scores(key)
end

local states = {}
for i = 3, #ARGV, 4 do
  local key = load_key(ARGV[i + 1])
  if key then
    reports[ARGV[i]](key, ARGV[i + 2], ARGV[i + 3])
    redis.call('HSET', key_name(key.id), 'state', key.state, 'why', key.why, 'until', key['until'],
      'since', key.since, 'errors', key.errors, 'throttled', key.throttled, 'clean', key.clean,
      'wait_until', key.wait_until, 'multiplier', key.multiplier, 'widened_at', key.widened_at)
  end
  states[#states + 1] = key and key.state or ''
end
return states
