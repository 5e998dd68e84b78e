-- Appends entries to a log unless it changed since it was read. Returns 1, or 0 if it changed.
-- KEYS[1] state, KEYS[2] log, KEYS[3] names of all logs; ARGV: last number and edition that were
-- read, edition of a new log, most entries of the log, seconds to live, then the entries.
local state = redis.call('HMGET', KEYS[1], 'last', 'edition')
local last = tonumber(state[1] or '0')
if last ~= tonumber(ARGV[1]) or (state[2] or '0') ~= ARGV[2] then return 0 end
if not state[2] then redis.call('HSET', KEYS[1], 'edition', ARGV[3]) end
redis.call('SADD', KEYS[3], KEYS[2])
for i = 6, #ARGV do
  last = last + 1
  redis.call('ZADD', KEYS[2], last, ARGV[i])
end
redis.call('HSET', KEYS[1], 'last', last)
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[4]))
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
