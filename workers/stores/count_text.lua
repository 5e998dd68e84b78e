-- The rank of an owner among those that used a text, counted to limit + 1; the same for ever.
-- KEYS[1] bucket of first owners, KEYS[2] later owners of this text; ARGV: text, owner, limit.
local text, owner, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local first = redis.call('HGET', KEYS[1], text)
if not first then
  -- New, or the first user was taken down: later ones keep their ranks.
  local rank = redis.call('HGET', KEYS[2], owner)
  if rank then return tonumber(rank) end
  redis.call('HSET', KEYS[1], text, owner)
  return 1
end
if first == owner then return 1 end
local rank = redis.call('HGET', KEYS[2], owner)
if rank then return math.min(tonumber(rank), limit + 1) end
rank = redis.call('HLEN', KEYS[2]) + 2
if rank > limit then return limit + 1 end
redis.call('HSET', KEYS[2], owner, rank)
return rank
