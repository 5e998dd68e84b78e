-- Takes the claim KEYS[1] for ARGV[1] during ARGV[2] seconds, or takes it longer. 0: another has it.
-- With ARGV[3] == '1' it also takes a claim whose person has decided; such a claim begins with "!".
local held = redis.call('GET', KEYS[1])
local over = ARGV[3] == '1' and held and string.sub(held, 1, 1) == '!'
if held and held ~= ARGV[1] and not over then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
