-- Takes the next version of a pair for a person's decision. Returns it.
-- KEYS[1] the pair's versions; ARGV: the newest version that the person's server knows.
local version = math.max(tonumber(redis.call('HGET', KEYS[1], 'version') or '0'), tonumber(ARGV[1])) + 1
redis.call('HSET', KEYS[1], 'version', version, 'judged', 1)
redis.call('PERSIST', KEYS[1])
return version
