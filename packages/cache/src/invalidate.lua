-- Drops entries that are older than a version, leaves marks that refuse older fills, and publishes one message for all.
-- KEYS: entry and mark of each view. ARGV: how long marks last (ms), channel, message, then the version of each view.
for place = 1, #KEYS, 2 do
  local entry, mark = KEYS[place], KEYS[place + 1]
  local given = ARGV[3 + (place + 1) / 2]
  local version = tonumber(given)
  if version >= tonumber(redis.call('GET', mark) or '0') then redis.call('SET', mark, given, 'PX', ARGV[1]) end
  local current = tonumber(string.match(redis.call('GETRANGE', entry, 0, 20), '^(%d+)|') or '0')
  if current < version then redis.call('DEL', entry) end
end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 0
