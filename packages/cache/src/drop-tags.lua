-- Marks tags as dropped now, and publishes one message for all.
-- KEYS: the marks of the tags. ARGV: how long marks last (ms), channel, message.
local now = redis.call('TIME')
local time = string.format('%.0f', now[1] * 1000000 + now[2])
for _, mark in ipairs(KEYS) do redis.call('SET', mark, time, 'PX', ARGV[1]) end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 0
