-- Stores an entry, unless a newer version is known from a mark (which an invalidation left) or from another entry, or one of its
-- tags was dropped since its load began.
-- KEYS: entry, mark; of an entry with tags also its tags, then the mark of each tag.
-- ARGV: version, entry ("version|..."), how long to keep it (ms); with tags: when its load began (us), its tags as lines.
-- Returns 0 if the entry was stored, -1 if a tag was dropped, else the newer version.
local version = tonumber(ARGV[1])
local mark = tonumber(redis.call('GET', KEYS[2]) or '0')
if mark > version then return mark end
local current = tonumber(string.match(redis.call('GETRANGE', KEYS[1], 0, 20), '^(%d+)|') or '0')
if current > version then return current end
if KEYS[3] then
  for place = 4, #KEYS do
    if tonumber(redis.call('GET', KEYS[place]) or '0') >= tonumber(ARGV[4]) then return -1 end
  end
  redis.call('SET', KEYS[3], ARGV[4] .. '\n' .. ARGV[5], 'PX', ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 0
