-- Returns {sequence, entries of hash 1, entries of hash 2, ...}: for each hash all kept entries that
-- may lie within the distance, complete up to the sequence number. Reads only, atomically.
-- KEYS[1] sequence; ARGV[1] key prefix, ARGV[2] bands to probe with radius 1, ARGV[3..] hashes
-- (8 bytes, big-endian).
local prefix, wide = ARGV[1], tonumber(ARGV[2])
local found = {redis.call('GET', KEYS[1]) or '0'}
for i = 3, #ARGV do
  local words = {struct.unpack('>I2I2I2I2', ARGV[i])}
  local keys = {}
  for band = 1, 4 do
    local head, word = prefix .. band .. ':', words[band]
    keys[#keys + 1] = head .. word
    if band <= wide then
      for shift = 0, 15 do
        keys[#keys + 1] = head .. bit.bxor(word, bit.lshift(1, shift))
      end
    end
  end
  local parts = {}
  for _, entries in ipairs(redis.call('MGET', unpack(keys))) do
    if entries then parts[#parts + 1] = entries end
  end
  found[#found + 1] = table.concat(parts)
end
return found
