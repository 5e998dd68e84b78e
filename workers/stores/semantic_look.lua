-- Returns {last number, edition, entries and their numbers} of a log, read in one step.
-- KEYS[1] state, KEYS[2] log; ARGV: number that is known already, most entries.
local state = redis.call('HMGET', KEYS[1], 'last', 'edition')
local entries = redis.call(
  'ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
return {state[1] or '0', state[2] or '0', entries}
