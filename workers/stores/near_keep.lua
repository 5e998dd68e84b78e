-- Keeps each image, unless one that is like it was kept after the look.
-- Returns the owner of each, '' for an image that must be looked up again because another worker has
-- kept an entry near it meanwhile, or false if the look is too old for all of them.
-- KEYS[1] sequence, KEYS[2] list of the latest entries; ARGV[1] key prefix, ARGV[2] sequence seen
-- by the look, ARGV[3] distance, ARGV[4] length of the list, then five for each image: hash, check,
-- sketch, owner, and the places of earlier images of this call that are like it ('1,4').
local prefix, distance, length = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local sequence = tonumber(redis.call('GET', KEYS[1]) or '0')
local fresh = sequence - tonumber(ARGV[2])
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

local function keep(hash, check, sketch, owner)
  sequence = sequence + 1
  local record = hash .. check .. struct.pack('>I2I4', math.floor(sequence / 4294967296),
    sequence % 4294967296)
  for band, word in ipairs({struct.unpack('>I2I2I2I2', hash)}) do
    if band <= 4 then redis.call('APPEND', prefix .. band .. ':' .. word, record) end
  end
  local block, field = math.floor(sequence / 256), sequence % 256
  redis.call('HSET', prefix .. 'owner:' .. block, field, owner)
  redis.call('HSET', prefix .. 'sketch:' .. block, field, sketch)
  redis.call('RPUSH', KEYS[2], hash .. check .. owner)
end

local holders, kept = {}, {}
for i = 5, #ARGV, 5 do
  local hash, check, sketch, owner = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local holder = overtaken(hash, check, owner)
  if holder then
    if holder == owner then kept[#holders] = owner end
  else
    for place in ARGV[i + 4]:gmatch('%d+') do
      local other = kept[tonumber(place)]
      if other and (not holder or other == owner) then holder = other end
    end
    if not holder then
      keep(hash, check, sketch, owner)
      holder = owner
      kept[#holders] = owner
    end
  end
  holders[#holders + 1] = holder
end
redis.call('SET', KEYS[1], sequence)
redis.call('LTRIM', KEYS[2], -length, -1)
return holders
