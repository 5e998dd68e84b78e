-- Returns the rank of an owner among the owners that used a text, at most limit + 1.
-- An owner keeps its rank for ever.
-- KEYS[1] bucket of first owners, KEYS[2] later owners of this text.
-- ARGV: text, owner, limit, the owner as older versions wrote it, without the topic's id.
local text, owner, limit, older = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local first = redis.call('HGET', KEYS[1], text)
local rank = redis.call('HGET', KEYS[2], owner) or redis.call('HGET', KEYS[2], older)
if not first then
  -- The text is new, or its first owner was taken down. Later owners keep their ranks.
  if rank then return tonumber(rank) end
  redis.call('HSET', KEYS[1], text, owner)
  return 1
end
if first == owner or first == older then return 1 end
if rank then return math.min(tonumber(rank), limit + 1) end
rank = redis.call('HLEN', KEYS[2]) + 2
if rank > limit then return limit + 1 end
redis.call('HSET', KEYS[2], owner, rank)
return rank
