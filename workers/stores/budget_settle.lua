-- Counts what a batch took, in place of what was reserved for it. A second call changes nothing.
-- KEYS[1] the day. ARGV: grant, captioner, images, then each unit with the amount.
local grant, captioner = 'grant:' .. ARGV[1], ARGV[2]
if redis.call('HDEL', KEYS[1], grant) == 0 then return end
redis.call('HINCRBY', KEYS[1], 'images:' .. captioner, ARGV[3])
for at = 4, #ARGV, 2 do
  local unit, amount = ARGV[at], ARGV[at + 1]
  local held = redis.call('HGET', KEYS[1], grant .. ':' .. unit)
  if held then
    redis.call('HDEL', KEYS[1], grant .. ':' .. unit)
    redis.call('HINCRBYFLOAT', KEYS[1], 'held:' .. unit, string.format('%.17g', -tonumber(held)))
  end
  redis.call('HINCRBYFLOAT', KEYS[1], unit, amount)
  redis.call('HINCRBYFLOAT', KEYS[1], unit .. ':' .. captioner, amount)
end
