"""Recent's script: what Redis does in one atomic step, lists, trims, counts and offsets."""

from logpipeline.recent.redis_position import READABLE

# KEYS: offsets, topic, version, bytes, epochs, then a list per list in ARGV.
# ARGV: topic id, the topic id seen, 1 to replace the lists or 2 for the offsets too, which must be
# unreadable, cap, version, bytes of a list; then groups, each with its number of members first:
# (partition, offset and epoch seen or '', next offset, epoch or '')…; (key, level, events, Unix
# time of its end)…; then per list: 1 to replace it, the bytes of the lines, their number, the
# lines. Of each list the bytes are known that it has at most: only when these are too many are its
# lines counted, and the oldest dropped until it has half of them.
SCRIPT = (
    READABLE
    + """
if ARGV[3] == '2' and readable(KEYS[1]) and readable(KEYS[5]) then return 0 end
if redis.call('GETRANGE', KEYS[2], 0, 99) ~= ARGV[2] then return 0 end
if (tonumber(redis.call('GET', KEYS[3]) or '') or 0) > tonumber(ARGV[5]) then return 0 end
redis.call('HLEN', KEYS[4])  -- a key of another type fails here, before anything is written
if ARGV[3] == '0' then
  for i = 6, #KEYS do redis.call('LLEN', KEYS[i]) end
end
local most = tonumber(ARGV[6])
local at = 7
local function group(size)
  local members = {}
  local count = tonumber(ARGV[at])
  for i = 1, count do
    members[i] = {}
    for j = 1, size do members[i][j] = ARGV[at + (i - 1) * size + j] end
  end
  at = at + 1 + count * size
  return members
end
local offsets = group(5)
if ARGV[1] == ARGV[2] and ARGV[3] ~= '2' then
  for _, o in ipairs(offsets) do
    local seen = redis.call('HGET', KEYS[1], o[1])
    if (seen or '') ~= o[2] then return 0 end
    if seen and (redis.call('HGET', KEYS[5], o[1]) or '') ~= o[3] then return 0 end
  end
else
  redis.call('DEL', KEYS[1], KEYS[5])
  redis.call('SET', KEYS[2], ARGV[1])
end
redis.call('SET', KEYS[3], ARGV[5])
for _, o in ipairs(offsets) do
  redis.call('HSET', KEYS[1], o[1], o[4])
  redis.call('HDEL', KEYS[5], o[1])
  if o[5] ~= '' then redis.call('HSET', KEYS[5], o[1], o[5]) end
end
for _, c in ipairs(group(4)) do
  redis.call('HINCRBY', c[1], c[2], c[3])
  redis.call('EXPIREAT', c[1], c[4])
end
local function shortened(list)
  local bytes, from = 0, 0
  while true do
    local lines = redis.call('LRANGE', list, from, from + 499)
    for n, line in ipairs(lines) do
      bytes = bytes + #line
      if bytes >= most / 2 then
        redis.call('LTRIM', list, 0, from + n - 1)
        return bytes
      end
    end
    from = from + #lines
    if #lines < 500 then return bytes end
  end
end
local known, held = {}, {}
if #KEYS > 5 then known = redis.call('HMGET', KEYS[4], unpack(KEYS, 6)) end
for i = 6, #KEYS do
  local bytes = (tonumber(known[i - 5] or '') or most) + ARGV[at + 1]
  if ARGV[at] == '1' then
    redis.call('DEL', KEYS[i])
    bytes = tonumber(ARGV[at + 1])
  end
  local last = at + 2 + tonumber(ARGV[at + 2])
  for first = at + 3, last, 1000 do
    redis.call('LPUSH', KEYS[i], unpack(ARGV, first, math.min(first + 999, last)))
  end
  at = last + 1
  redis.call('LTRIM', KEYS[i], 0, ARGV[4] - 1)
  if bytes > most then bytes = shortened(KEYS[i]) end
  held[#held + 1], held[#held + 2] = KEYS[i], bytes
end
if #held > 0 then redis.call('HSET', KEYS[4], unpack(held)) end
return 1
"""
)
