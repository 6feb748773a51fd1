-- Put registered keys into a pool, with a score of 0: the first reservation finds the true one.
--
-- For the Redis keys see reserve.lua.
--
-- KEYS  1 pool
-- ARGV  key ids
-- Reply the ids that are not registered (they are not put in)

local pool, absent = KEYS[1], {}
for _, id in ipairs(ARGV) do
  local key = load_key(id)
  if not key then
    absent[#absent + 1] = id
  else
    redis.call('ZADD', pool, 'NX', 0, id)
    local pools = {pool}
    for name in string.gmatch(key.pools, '%S+') do
      if name ~= pool and redis.call('EXISTS', name) == 1 then pools[#pools + 1] = name end
    end
    redis.call('HSET', key_name(id), 'pools', table.concat(pools, ' '))
  end
end
redis.call('PEXPIRE', pool, DAY_MS)
return absent
