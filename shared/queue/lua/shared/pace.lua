-- The window of a target: how many jobs may be in workers' hands at a time. It adapts to what the target bears, for all
-- workers and runs together: additive increase, multiplicative decrease. Only settle.lua changes it.
-- Kept per target (fields window, eased, rest_until), so that the next run begins where this one got to; forgotten a
-- retention after the last decrease. A target that never was under pressure has nothing here: its runs get what they ask for.

-- What a settled job adds: 16 of them add one place. Slow enough that a target at its limit refuses little.
local RISE = 1 / 16

-- Jobs at a time, given the most a run wants; and until when nothing is to be handed out (ms).
function queue.window(target, most)
  local window, rest_until = unpack(call('HMGET', key.pace(target), 'window', 'rest_until'))
  return math.floor(math.min(most, tonumber(window or most))), tonumber(rest_until or 0)
end

-- A claim says something of the window only if it was handed out after the last decrease: so what is refused at once
-- decreases once. The id of a stream entry begins with the time at which it was added.
local function says_something(entry, eased)
  return tonumber(string.match(entry, '^%d+')) > tonumber(eased or 0)
end

-- The claim of this entry met a target under pressure: half the window, at least 1. For `rest` ms nothing is handed out.
function queue.ease(target, most, entry, rest)
  local window, eased, rest_until = unpack(call('HMGET', key.pace(target), 'window', 'eased', 'rest_until'))
  if says_something(entry, eased) then
    window = math.max(1, math.min(most, tonumber(window or most)) / 2)
    call('HSET', key.pace(target), 'window', window, 'eased', now)
  end
  if rest > 0 then
    call('HSET', key.pace(target), 'rest_until', math.max(now + rest, tonumber(rest_until or 0)))
    queue.take_back_unread(target) -- or workers would go on and be refused one by one
  end
  call('PEXPIRE', key.pace(target), settings.retention + rest)
end

-- The claims of these entries met no pressure: the window grows, up to the most the run wants.
function queue.rise(target, most, entries)
  local window, eased = unpack(call('HMGET', key.pace(target), 'window', 'eased'))
  window = tonumber(window)
  if not window or window >= most then return end
  local places = 0
  for _, entry in ipairs(entries) do
    if says_something(entry, eased) then places = places + RISE end
  end
  if places > 0 then call('HSET', key.pace(target), 'window', math.min(most, window + places)) end
end
