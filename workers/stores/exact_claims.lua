-- Exact claims in buckets. A bucket is a hash that stays small: the number of buckets grows with the
-- claims, one by one, and each new bucket takes its share of one earlier bucket. (Litwin: Linear
-- hashing, 1980.)
-- KEYS[1] number of buckets, KEYS[2] names of topics, KEYS[3] place of this server and number of all
-- servers, as far as this one heard of them ('0/3'; missing: '0/1'); ARGV[1] key prefix of the buckets, ARGV[2]
-- what to do, ARGV[3] claims of a full bucket, ARGV[4] 12 bytes of each image's sha256, ARGV[5] 13
-- bytes of each owner, ARGV[6] and ARGV[7] the place and the number of servers that the caller knows,
-- then code and name of each topic in the owners.
-- Returns {what KEYS[3] holds} to a caller that knows fewer servers, or another place.
-- 'claim' and 'look' return the owner of each image, 13 zeros for none. 'forget' removes those that
-- the owners hold (13 zeros: any owner), 'count' counts these; both return how many there were.
local prefix, what, full = ARGV[1], ARGV[2], tonumber(ARGV[3])
local heard = redis.call('GET', KEYS[3])
if heard then
  local place, servers = heard:match('(%d+)/(%d+)')
  if place ~= ARGV[6] or tonumber(servers) > tonumber(ARGV[7]) then return {heard} end
end
local known = ARGV[6] .. '/' .. ARGV[7]
if what ~= 'count' and known ~= (heard or '0/1') then redis.call('SET', KEYS[3], known) end
local buckets = tonumber(redis.call('GET', KEYS[1]) or '1')
local start, half = buckets, nil
local NONE = string.rep('\0', 13)

-- Half is the largest power of two that is not above the number of buckets.
local function count() half = 2 ^ (select(2, math.frexp(buckets)) - 1) end

local function bucket_of(field)
  local word = struct.unpack('>I4', field)
  local at = word % (2 * half)
  return at < buckets and at or at - half
end

local function name(at) return prefix .. at end

local function grow()
  local from, to = name(buckets - half), name(buckets)
  local claims = redis.call('HGETALL', from)
  local new = buckets
  buckets = buckets + 1
  for i = 1, #claims, 2 do
    if struct.unpack('>I4', claims[i]) % (2 * half) == new then
      redis.call('HSET', to, claims[i], claims[i + 1])
      redis.call('HDEL', from, claims[i])
    end
  end
  count()
end

count()
for i = 8, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
local owners, found = {}, 0
for i = 1, #ARGV[4] / 12 do
  local field, owner = ARGV[4]:sub(12 * i - 11, 12 * i), ARGV[5]:sub(13 * i - 12, 13 * i)
  local bucket = name(bucket_of(field))
  if what == 'claim' and redis.call('HSETNX', bucket, field, owner) == 1 then
    owners[i] = owner
    if redis.call('HLEN', bucket) > full then grow() end
  else
    local held = redis.call('HGET', bucket, field)
    owners[i] = held or NONE
    if held and (owner == NONE or held == owner) then
      found = found + 1
      if what == 'forget' then redis.call('HDEL', bucket, field) end
    end
  end
end
if buckets > start then redis.call('SET', KEYS[1], buckets) end
if what == 'claim' or what == 'look' then return table.concat(owners) end
return found
