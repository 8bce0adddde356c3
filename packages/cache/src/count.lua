-- Adds to counts that end with their windows.
-- KEYS: the counts. ARGV: for each of them the calls to add, and the window in milliseconds.
-- Returns for each the sum, and the milliseconds that are left of its window.
local answer = {}
for place, key in ipairs(KEYS) do
  local sum = redis.call('INCRBY', key, ARGV[2 * place - 1])
  local left = redis.call('PTTL', key)
  -- Longer than a window: it was not set here.
  if left < 0 or left > tonumber(ARGV[2 * place]) then
    left = tonumber(ARGV[2 * place])
    redis.call('PEXPIRE', key, left)
  end
  answer[2 * place - 1] = sum
  answer[2 * place] = left
end
return answer
