-- Reserves a part of the day's budget for a batch. Returns how many of its images are affordable.
-- A captioner's images are expected to take its mean of the day; before its first ones, nothing.
-- KEYS[1] the day. ARGV: grant, captioner, images, lifetime in seconds, then each limit with its
-- name. A grant that is asked for again is the same.
local grant, captioner, images = 'grant:' .. ARGV[1], ARGV[2], tonumber(ARGV[3])
local function get(field) return tonumber(redis.call('HGET', KEYS[1], field) or 0) end
local known = redis.call('HGET', KEYS[1], grant)
if known then return tonumber(known) end
local asked, means = get('images:' .. captioner), {}
for at = 5, #ARGV, 2 do
  local unit = ARGV[at]
  local left = tonumber(ARGV[at + 1]) - get(unit) - get('held:' .. unit)
  means[unit] = asked > 0 and get(unit .. ':' .. captioner) / asked or 0
  if left <= 0 then
    images = 0
  elseif means[unit] > 0 then
    images = math.min(images, math.ceil(left / means[unit]))
  end
end
redis.call('HSET', KEYS[1], 'used_up', images < tonumber(ARGV[3]) and 1 or 0)
redis.call('EXPIRE', KEYS[1], ARGV[4])
if images > 0 then
  redis.call('HSET', KEYS[1], grant, images)
  for unit, mean in pairs(means) do
    local held = string.format('%.17g', mean * images)
    redis.call('HSET', KEYS[1], grant .. ':' .. unit, held)
    redis.call('HINCRBYFLOAT', KEYS[1], 'held:' .. unit, held)
  end
end
return images
