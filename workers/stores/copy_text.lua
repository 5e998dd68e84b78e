-- Adds a text to those of an image, unless it is there or the image has enough.
-- Returns 1 if the text is there and this origin brought it, now or earlier, else 0.
-- KEYS[1] the image's texts; ARGV: digest of the text, the text (JSON), most texts, seconds to live,
-- origin of the copy.
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held then return held:sub(-#ARGV[5] - 1) == '\n' .. ARGV[5] and 1 or 0 end
local count = redis.call('HLEN', KEYS[1])
if count >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '\n' .. ARGV[5])
if count == 0 then redis.call('EXPIRE', KEYS[1], ARGV[4]) end
return 1
