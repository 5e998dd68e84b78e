-- Takes the claim KEYS[1] for ARGV[1] during ARGV[2] seconds, or takes it longer. 0: another has it.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
