-- Returns the latest entries of a leaf that cannot be divided any more, and those of the images that
-- look: nil if there is no such leaf. All hashes of such a leaf are one.
-- ARGV[3] the leaf's path, ARGV[4] bytes of the latest entries, then hash and check (10 bytes) of
-- each image.
local entries, longest = redis.call('GET', prefix .. ARGV[3]), tonumber(ARGV[4])
if not entries or #entries <= longest then return entries end
local parts = {entries:sub(-longest)}
for i = 5, #ARGV do
  local at = entries:find(ARGV[i], 1, true)
  while at do
    if at % 16 == 1 then parts[#parts + 1] = entries:sub(at, at + 15) end
    at = entries:find(ARGV[i], at + 1, true)
  end
end
return table.concat(parts)
