-- Returns {sequence, depth of the leaves, entries for image 1, entries for image 2, ...}: the entries
-- of the leaves that its paths lead to. The depth is that of all paths, summed. Reads only,
-- atomically.
-- ARGV[3] bytes of a leaf that are returned, then for each image its hash and check (10 bytes) and
-- its paths (33 bytes each).
local longest = tonumber(ARGV[3])
local found, depth = {redis.call('GET', KEYS[1]) or '0', 0}, 0

-- The latest entries of a leaf that could not be divided any more, and those of the image itself.
local function part_of(entries, own)
  if #entries <= longest then return entries end
  local parts, at = {entries:sub(-longest)}, entries:find(own, 1, true)
  while at do
    if at % 16 == 1 then parts[#parts + 1] = entries:sub(at, at + 15) end
    at = entries:find(own, at + 1, true)
  end
  return table.concat(parts)
end

for i = 4, #ARGV do
  local paths, names = {}, {}
  for at = 11, #ARGV[i], 33 do
    paths[#paths + 1] = ARGV[i]:sub(at, at + 32)
    names[#names + 1] = prefix .. ARGV[i]:sub(at, at + start - 1)
  end
  local own, seen, parts = ARGV[i]:sub(1, 10), {}, {}
  for at, there in ipairs(redis.call('MGET', unpack(names))) do
    local name, entries, length = leaf_of(paths[at], there)
    depth = depth + length - 1
    if not seen[name] then
      seen[name] = true
      parts[#parts + 1] = part_of(entries, own)
    end
  end
  found[#found + 1] = table.concat(parts)
end
found[2] = depth
return found
