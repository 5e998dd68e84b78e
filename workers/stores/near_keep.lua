-- Keeps each image, unless one that is like it was kept after the look.
-- Returns the owner of each, '' for an image that must be looked up again because another worker has
-- kept an entry near it meanwhile, or false if the look is too old for all of them.
-- KEYS[2] list of the latest entries; ARGV[3] sequence seen by the look, ARGV[4] distance, ARGV[5]
-- length of the list, ARGV[6] bytes of a leaf, then six for each image: hash, check, look, owner, the
-- paths of its leaves, and the places of earlier images of this call that are like it ('1,4').
local distance, length, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local sequence = tonumber(redis.call('GET', KEYS[1]) or '0')
local fresh = sequence - tonumber(ARGV[3])
if fresh < 0 or fresh > length then return false end
local recent = {}
if fresh > 0 then recent = redis.call('LRANGE', KEYS[2], -fresh, -1) end
if #recent ~= fresh then return false end

local ones = {}
for byte = 0, 255 do
  local count, rest = 0, byte
  while rest > 0 do count, rest = count + rest % 2, math.floor(rest / 2) end
  ones[byte] = count
end

local function near(one, other)
  local count = 0
  for band = 1, 4 do
    local differing = bit.bxor(one[band], other[band])
    count = count + ones[bit.band(differing, 255)] + ones[bit.rshift(differing, 8)]
    if count > distance then return false end
  end
  return true
end

-- An entry of the list is hash, check, owner.
for i, text in ipairs(recent) do
  recent[i] = {struct.unpack('>I2I2I2I2', text)}
  recent[i].text = text
end

-- The owner if this very image was kept already, '' if another entry is near it, else nil.
local function overtaken(hash, check, owner)
  local words, found = {struct.unpack('>I2I2I2I2', hash)}, nil
  for _, entry in ipairs(recent) do
    if entry.text == hash .. check .. owner then return owner end
    if near(words, entry) then found = '' end
  end
  return found
end

-- The two bits of an entry's hash that follow `depth` digits of a path of this tree.
local function digit(entry, tree, depth)
  local byte = entry:byte((2 * tree - 2 + math.floor(depth / 4)) % 8 + 1)
  return math.floor(byte / 4 ^ (3 - depth % 4)) % 4
end

-- Adds the entry to the leaf of its path. Divides the leaf while it is too long; only the child that
-- gets the entry can be too long again.
local function add(entry, path)
  local name, entries, at = find_leaf(path)
  entries = entries .. entry
  while #entries > most and at < #path do
    local children, next = {[0] = {}, {}, {}, {}}, path:sub(at + 1, at + 1)
    for first = 1, #entries, 16 do
      local one = entries:sub(first, first + 15)
      local child = children[digit(one, tonumber(path:sub(1, 1)), at - 1)]
      child[#child + 1] = one
    end
    redis.call('SET', name, SPLIT)
    for number = 0, 3 do
      redis.call('SET', name .. number, table.concat(children[number]))
    end
    name, entries, at = name .. next, table.concat(children[tonumber(next)]), at + 1
  end
  redis.call('SET', name, entries)
end

local function keep(hash, check, look, owner, paths)
  sequence = sequence + 1
  local entry = hash .. check .. struct.pack('>I2I4', math.floor(sequence / 4294967296),
    sequence % 4294967296)
  for at = 1, #paths, 33 do add(entry, paths:sub(at, at + 32)) end
  local key, field = look_of(sequence)
  redis.call('HSET', key, field, look .. owner)
  redis.call('RPUSH', KEYS[2], hash .. check .. owner)
end

local holders, kept = {}, {}
for i = 7, #ARGV, 6 do
  local hash, check, look, owner = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local holder = overtaken(hash, check, owner)
  if holder then
    if holder == owner then kept[#holders] = owner end
  else
    for place in ARGV[i + 5]:gmatch('%d+') do
      local other = kept[tonumber(place)]
      if other and (not holder or other == owner) then holder = other end
    end
    if not holder then
      keep(hash, check, look, owner, ARGV[i + 4])
      holder = owner
      kept[#holders] = owner
    end
  end
  holders[#holders + 1] = holder
end
redis.call('SET', KEYS[1], sequence)
redis.call('LTRIM', KEYS[2], -length, -1)
return holders
