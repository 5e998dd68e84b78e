-- Removes a field of a hash if its value is the owner. Returns 1 if there was such a field, else 0.
-- KEYS[1] hash; ARGV: field, owner ('': any owner), 1 to only count.
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or (ARGV[2] ~= '' and held ~= ARGV[2]) then return 0 end
if ARGV[3] ~= '1' then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
