-- Decides which version of its pair a delivery is. Returns the version, or 0 if it is not better than
-- the published one. A delivery keeps its answer.
-- KEYS[1] the pair's versions; ARGV: delivery, '1' if the pair comes for itself, digest of the best
-- text, its worth, what the worth was measured with, least gain, seconds to live.
local answer = redis.call('HGET', KEYS[1], ARGV[1])
if answer then return tonumber(answer) end
local own, text, worth = ARGV[2] == '1', ARGV[3], tonumber(ARGV[4])
local best = redis.call('HMGET', KEYS[1], 'version', 'text', 'worth', 'by', 'own', 'judged')
local version = tonumber(best[1] or '0')
if best[6] then
  version = own and 1 or 0 -- below the version of the person who judged the pair
elseif version == 0 then
  version = 1
elseif not (own and best[5]) then
  -- Numbers of different scorers cannot be compared: then another best text is a better one.
  local better = ARGV[5] ~= best[4] or worth >= tonumber(best[3]) + tonumber(ARGV[6])
  version = (text ~= best[2] and better) and version + 1 or 0
end
if version > 0 and not best[6] then
  redis.call('HSET', KEYS[1], 'version', version, 'text', text, 'worth', ARGV[4], 'by', ARGV[5])
  if own then redis.call('HSET', KEYS[1], 'own', 1) end
end
redis.call('HSET', KEYS[1], ARGV[1], version)
if math.max(version, tonumber(best[1] or '0')) < 2 then
  redis.call('EXPIRE', KEYS[1], ARGV[7])
else
  redis.call('PERSIST', KEYS[1])
end
return version
