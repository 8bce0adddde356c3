-- Drops an entry that is older than this version, leaves a mark that refuses older ones, and tells everybody.
-- KEYS: entry, mark. ARGV: version, how long the mark lasts (ms), channel, message.
local version = tonumber(ARGV[1])
local mark = tonumber(redis.call('GET', KEYS[2]) or '0')
if version >= mark then redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2]) end
local current = tonumber(string.match(redis.call('GETRANGE', KEYS[1], 0, 20), '^(%d+)|') or '0')
if current < version then redis.call('DEL', KEYS[1]) end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 0
