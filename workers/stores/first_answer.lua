-- Keeps the first answer of an origin and returns the kept one. A kept refusal of another delivery
-- is replaced.
-- KEYS[1] the origin's answer; ARGV: answer found (JSON), its seconds to live, delivery.
local held = redis.call('GET', KEYS[1])
if held then
  local refused = cjson.decode(held).delivery
  if not refused or refused == ARGV[3] then return held end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ARGV[1]
