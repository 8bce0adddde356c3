-- Reads an entry with tags, if none of them was dropped since its load began.
-- KEYS: entry, its tags. ARGV: what the keys of tags' marks begin with; the most bytes of an entry.
-- Returns the time (us, as text), and the entry if there is one.
local now = redis.call('TIME')
local time = string.format('%.0f', now[1] * 1000000 + now[2])
local tags = redis.call('GET', KEYS[2])
if not tags then return { time } end
local began
for line in string.gmatch(tags, '[^\n]+') do
  if not began then
    began = tonumber(line)
  elseif tonumber(redis.call('GET', ARGV[1] .. line) or '0') >= began then
    redis.call('DEL', KEYS[1], KEYS[2])
    return { time }
  end
end
local entry = redis.call('GETRANGE', KEYS[1], 0, ARGV[2])
if entry == '' then return { time } end
return { time, entry }
