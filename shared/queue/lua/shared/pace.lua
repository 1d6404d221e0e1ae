-- The window of a target: how many jobs may be in workers' hands at a time. It adapts to what the target bears, for all
-- workers and runs together: additive increase, multiplicative decrease. Only settle.lua changes it.
-- A target that refuses even one job at a time limits its rate: then jobs are handed out one by one with a gap between
-- them, which begins as the time that jobs took on average since the last decrease, rests included, and shrinks.
-- Kept per target (window, eased, done, gap, rest_until), so that the next run begins where this one got to;
-- forgotten a retention after the last decrease. A target that never was under pressure has nothing here.

-- What a settled job adds to the window: 16 of them add one place. Slow enough that a target at its limit refuses little.
local RISE = 1 / 16
-- What a settled job takes from the gap.
local CLOSING = 1 / 64
-- Gaps in ms. A shorter one is none: each costs a tick, and the window does nearly as well. A longer one is left to the
-- rests that the target asks for.
local SHORTEST, LONGEST = 20, 1000

-- Jobs at a time, given the most a run wants; until when nothing is to be handed out; the gap (ms).
function queue.window(target, most)
  local window, rest_until, gap = unpack(call('HMGET', key.pace(target), 'window', 'rest_until', 'gap'))
  return math.floor(math.min(most, tonumber(window or most))), tonumber(rest_until or 0), tonumber(gap or 0)
end

-- A job is handed out, now that no rest is on: the next one comes after the gap.
function queue.space(target, gap)
  if gap > 0 then call('HSET', key.pace(target), 'rest_until', now + math.ceil(gap)) end
end

-- A claim says something of the window only if it was handed out after the last decrease: so what is refused at once
-- decreases once. The id of a stream entry begins with the time at which it was added.
local function says_something(entry, eased)
  return tonumber(string.match(entry, '^%d+')) > tonumber(eased or 0)
end

-- The most that the run wants which holds the target.
local function most_of(target) return tonumber(call('HGET', key.lease(target), 'window')) end

-- The claim of this entry met a target under pressure: half the window, at least 1. For `rest` ms nothing is handed out.
function queue.ease(target, entry, rest)
  local pace, most = key.pace(target), most_of(target)
  local window, eased, done, rest_until = unpack(call('HMGET', pace, 'window', 'eased', 'done', 'rest_until'))
  if says_something(entry, eased) then
    window, done = math.min(most, tonumber(window or most)), tonumber(done or 0)
    if window < 2 and rest > 0 and done > 0 then
      call('HSET', pace, 'gap', math.min(LONGEST, (now - eased) / done))
    end
    call('HSET', pace, 'window', math.max(1, window / 2), 'eased', now, 'done', 0)
  end
  if rest > 0 then
    call('HSET', pace, 'rest_until', math.max(now + rest, tonumber(rest_until or 0)))
    queue.take_back_unread(target) -- or workers would go on and be refused one by one
  end
  call('PEXPIRE', pace, settings.retention + rest)
end

-- The claims of these entries, but for those in the set `pressed`, met no pressure: the gap closes, then the window grows,
-- up to the most the run wants.
function queue.rise(target, entries, pressed)
  local pace = key.pace(target)
  local window, eased, gap = unpack(call('HMGET', pace, 'window', 'eased', 'gap'))
  if not window then return end
  local done = 0
  for _, entry in ipairs(entries) do
    if not pressed[entry] and says_something(entry, eased) then done = done + 1 end
  end
  if done == 0 then return end
  call('HINCRBY', pace, 'done', done)
  local most = most_of(target)
  window, gap = tonumber(window), tonumber(gap or 0) * (1 - CLOSING) ^ done
  if gap >= SHORTEST then
    call('HSET', pace, 'gap', gap)
  else
    call('HDEL', pace, 'gap')
    if window < most then call('HSET', pace, 'window', math.min(most, window + done * RISE)) end
  end
end
