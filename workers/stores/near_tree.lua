-- Placed before each script of near claims: finds the leaves of the trees in which kept images lie.
-- A node's name is the prefix and the beginning of a path: the tree's digit, then two bits of the
-- hash in each digit. Tree t begins with bit 16 (t - 1) of the hash and goes round. A leaf is a string
-- of entries. A leaf that got too long became SPLIT, with four children in its place, so leaves are
-- deep where images are many. (Bawa, Condie, Ganesan: LSH forest, 2005.)
-- An entry has 16 bytes: hash, check, sequence number.
-- KEYS[1] sequence; ARGV[1] key prefix, ARGV[2] depth of most leaves: digits of the hash in the name.
local prefix, start = ARGV[1], 1 + tonumber(ARGV[2])
local SPLIT = '/'

-- The key and the field that hold the sketch, the sha256 and the owner of the entry with this number.
-- `NearClaims` reads many of them by one call for each of these 16 keys.
local function look_of(number)
  return prefix .. 'look:' .. number % 16, string.format('%x', math.floor(number / 16))
end

-- The name, the entries and the length of the name's path of the leaf that a path leads to.
local function find_leaf(path)
  local length = start
  local found = redis.call('GET', prefix .. path:sub(1, length))
  while found == SPLIT do
    length = length + 1
    found = redis.call('GET', prefix .. path:sub(1, length))
  end
  while not found and length > 1 do
    length = length - 1
    found = redis.call('GET', prefix .. path:sub(1, length))
  end
  return prefix .. path:sub(1, length), found or '', length
end
