-- Removes the kept entry of each hash if the given owner holds it. Returns how many there were.
-- Several images may have one hash; an owner holds one entry.
-- KEYS[2] list of the latest entries; ARGV[3] 1 to only count, ARGV[4] bytes of a look, then three
-- for each: hash, owner, and the paths of its leaves.
local dry, size = ARGV[3] == '1', tonumber(ARGV[4])

local function number_of(entry)
  local high, low = struct.unpack('>I2I4', entry, 11)
  return high * 4294967296 + low
end

-- The entry of the hash that the owner holds, and its sequence number.
local function entry_of(hash, owner, path)
  local _, entries = find_leaf(path)
  for at = 1, #entries, 16 do
    local entry = entries:sub(at, at + 15)
    if entry:sub(1, 8) == hash then
      local number = number_of(entry)
      local kept = redis.call('HGET', look_of(number))
      if kept and kept:sub(size + 1) == owner then return entry, number end
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
for i = 5, #ARGV, 3 do
  local hash, owner, paths = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local entry, number = entry_of(hash, owner, paths:sub(1, 33))
  if entry then
    found = found + 1
    if not dry then
      for at = 1, #paths, 33 do
        local name, entries, length = find_leaf(paths:sub(at, at + 32))
        local left = without(entry, entries)
        if left == '' and length == 1 then redis.call('DEL', name)
        else redis.call('SET', name, left) end
      end
      redis.call('HDEL', look_of(number))
      redis.call('LREM', KEYS[2], 0, entry:sub(1, 10) .. owner)
    end
  end
end
return found
