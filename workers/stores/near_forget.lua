-- Removes the kept entry of each hash if the given owner holds it. Returns how many there were.
-- Several images may have one hash; an owner holds one entry.
-- KEYS[1] list of the latest entries; ARGV[1] key prefix, ARGV[2] 1 to only count, then hash, owner,
-- hash, owner ...
local prefix, dry = ARGV[1], ARGV[2] == '1'

local function number_of(entry)
  local high, low = struct.unpack('>I2I4', entry, 11)
  return high * 4294967296 + low
end

-- The entry of the hash that the owner holds, and its sequence number.
local function entry_of(hash, owner)
  local words = {struct.unpack('>I2I2I2I2', hash)}
  local entries = redis.call('GET', prefix .. '1:' .. words[1]) or ''
  for at = 1, #entries, 16 do
    local entry = entries:sub(at, at + 15)
    if entry:sub(1, 8) == hash then
      local number = number_of(entry)
      local owners = prefix .. 'owner:' .. math.floor(number / 256)
      if redis.call('HGET', owners, number % 256) == owner then return entry, number end
    end
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
  local entry, number = entry_of(hash, owner)
  if entry then
    found = found + 1
    if not dry then
      for band, word in ipairs({struct.unpack('>I2I2I2I2', hash)}) do
        if band <= 4 then
          local key = prefix .. band .. ':' .. word
          local left = without(entry, redis.call('GET', key) or '')
          if left == '' then redis.call('DEL', key) else redis.call('SET', key, left) end
        end
      end
      local block = math.floor(number / 256)
      redis.call('HDEL', prefix .. 'owner:' .. block, number % 256)
      redis.call('HDEL', prefix .. 'sketch:' .. block, number % 256)
      redis.call('LREM', KEYS[1], 0, entry:sub(1, 10) .. owner)
    end
  end
end
return found
