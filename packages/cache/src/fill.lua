-- Stores an entry, unless a newer version is known from a mark (which an invalidation left) or from another entry.
-- KEYS: entry, mark. ARGV: version, entry ("version|..."), how long to keep it (ms).
-- Returns 0 if the entry was stored, else the newer version.
local version = tonumber(ARGV[1])
local mark = tonumber(redis.call('GET', KEYS[2]) or '0')
if mark > version then return mark end
local current = tonumber(string.match(redis.call('GETRANGE', KEYS[1], 0, 20), '^(%d+)|') or '0')
if current > version then return current end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 0
