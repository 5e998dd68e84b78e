-- Remove a field of a hash, if its value is the owner's. Returns whether it was there, 1 or 0.
-- KEYS[1] hash; ARGV: field, owner ('': whoever's), 1 to only count.
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or (ARGV[2] ~= '' and held ~= ARGV[2]) then return 0 end
if ARGV[3] ~= '1' then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
