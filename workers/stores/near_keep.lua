-- Keeps each hash, unless an entry that was kept after the look lies within the distance.
-- Returns the owner of each, or false if the look is too old and must be repeated.
-- KEYS[1] sequence, KEYS[2] list of the latest entries; ARGV[1] key prefix, ARGV[2] sequence seen
-- by the look, ARGV[3] distance, ARGV[4] length of the list, then hash, owner, hash, owner ...
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

local function entry(hash, owner)
  local words = {struct.unpack('>I2I2I2I2', hash)}
  words.owner = owner
  return words
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

for i, text in ipairs(recent) do recent[i] = entry(text:sub(1, 8), text:sub(9)) end

local function keep(new, hash)
  sequence = sequence + 1
  local record = hash .. struct.pack('>I8', sequence)
  for band = 1, 4 do redis.call('APPEND', prefix .. band .. ':' .. new[band], record) end
  redis.call('HSET', prefix .. 'owner:' .. math.floor(sequence / 256), sequence % 256, new.owner)
  redis.call('RPUSH', KEYS[2], hash .. new.owner)
  recent[#recent + 1] = new
end

local holders = {}
for i = 5, #ARGV, 2 do
  local new = entry(ARGV[i], ARGV[i + 1])
  local holder
  for _, kept in ipairs(recent) do
    if near(new, kept) then holder = kept.owner break end
  end
  if not holder then
    keep(new, ARGV[i])
    holder = new.owner
  end
  holders[#holders + 1] = holder
end
redis.call('SET', KEYS[1], sequence)
redis.call('LTRIM', KEYS[2], -length, -1)
return holders
