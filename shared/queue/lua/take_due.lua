-- take_due: what was put off and is due. Whoever takes it has so long to do it; then others are given it again.
-- ARGV[3]: ids (a new one for each that may be taken), within (ms)
-- Result: [id .. ' ' .. what]: the same id, whoever is given it again
-- What is asked for anew while somebody does it is due anew: whoever does it may have looked before.

local due, most = {}, #args.ids
for _, taken in ipairs(call('ZRANGEBYSCORE', key.taken, '-inf', now, 'LIMIT', 0, most)) do due[#due + 1] = taken end
for _, what in ipairs(call('ZRANGEBYSCORE', key.later, '-inf', now, 'LIMIT', 0, most - #due)) do
  call('ZREM', key.later, what)
  due[#due + 1] = args.ids[#due + 1] .. ' ' .. what
end
for _, taken in ipairs(due) do call('ZADD', key.taken, now + args.within, taken) end
return due
