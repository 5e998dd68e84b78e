-- Removes the kept entry of each hash if the given owner holds it. Returns how many there were.
-- A hash has one kept entry at most.
-- KEYS[1] list of the latest entries; ARGV[1] key prefix, ARGV[2] 1 to only count, then hash, owner,
-- hash, owner ...
local prefix, dry = ARGV[1], ARGV[2] == '1'

local function entry_of(hash, entries)
  for at = 1, #entries, 16 do
    if entries:sub(at, at + 7) == hash then return entries:sub(at, at + 15) end
  end
end

local function without(entry, entries)
  for at = 1, #entries, 16 do
    if entries:sub(at, at + 15) == entry then
      return entries:sub(1, at - 1) .. entries:sub(at + 16)
    end
  end
  return entries
end

local found = 0
for i = 3, #ARGV, 2 do
  local hash, owner = ARGV[i], ARGV[i + 1]
  local words = {struct.unpack('>I2I2I2I2', hash)}
  local entry = entry_of(hash, redis.call('GET', prefix .. '1:' .. words[1]) or '')
  if entry then
    local number = struct.unpack('>I8', entry, 9)
    local owners = prefix .. 'owner:' .. math.floor(number / 256)
    if redis.call('HGET', owners, number % 256) == owner then
      found = found + 1
      if not dry then
        for band = 1, 4 do
          local key = prefix .. band .. ':' .. words[band]
          local left = without(entry, redis.call('GET', key) or '')
          if left == '' then redis.call('DEL', key) else redis.call('SET', key, left) end
        end
        redis.call('HDEL', owners, number % 256)
        redis.call('LREM', KEYS[1], 0, hash .. owner)
      end
    end
  end
end
return found
