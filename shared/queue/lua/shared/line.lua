-- Whose turn it is: the line before a target, and how urgent runs get to the front of it.
--
-- An urgent run makes the holder yield: nothing more of it is handed out, what is claimed may settle for `yield_within`,
-- the rest is taken back; then the urgent run has its turn. Urgent runs follow each other for at most `yield_within` while
-- another run waits. The other then has its turn back, and keeps it for at least as long as urgent runs had the target:
-- it gets half of the time, however many of them come. If jobs of it had to be taken back, it also keeps its turn until
-- one job of it is done: so every turn gets it on, however long its jobs take.
-- In the lease: urgent_since (urgent runs hold it one after the other since then), yield_until, keep_until.
-- In the run: yielded (it stands first among the others), owed_job.

-- Wider than all priorities.
local TIER = 2 ^ 33
local URGENT = -1.5 * TIER -- the scores of urgent runs are below this

-- Urgent runs first, then one that yielded to them, then the others; among equals by priority, then by age.
function queue.stand_in_line(target, run)
  local priority, line, urgent, yielded = unpack(call('HMGET', key.run(run), 'priority', 'line', 'urgent', 'yielded'))
  local tier = urgent == '1' and 2 or yielded == '1' and 1 or 0
  call('ZADD', key.waiting(target), -(priority + tier * TIER), line)
end

-- The run of this name that waits and has not begun: it will find what another one of that name is to bring. One that began
-- and yielded may have passed it.
function queue.same(target, dedup, urgent)
  local run = dedup ~= '' and call('HGET', key.same(target), urgent .. ':' .. dedup)
  return run or nil
end

-- A run has begun, or is over.
function queue.forget_same(target, run)
  local dedup, urgent = unpack(call('HMGET', key.run(run), 'dedup', 'urgent'))
  if queue.same(target, dedup or '', urgent) == run then call('HDEL', key.same(target), urgent .. ':' .. dedup) end
end

-- The first run in line, urgent or not, that a live worker can serve.
function queue.first_servable(target, urgent)
  local from, to = '(' .. URGENT, '+inf'
  if urgent then from, to = '-inf', URGENT end
  for _, line in ipairs(call('ZRANGEBYSCORE', key.waiting(target), from, to, 'LIMIT', 0, PIECE)) do
    local run = string.match(line, ':(.*)$')
    local requires = call('HGET', key.run(run), 'requires')
    if not requires then
      call('ZREM', key.waiting(target), line)
    elseif queue.servable(requires) then
      return run
    end
  end
end

-- A run without jobs is over when it gets its turn, and the next one follows in the same script: so many, the next tick goes on.
local TURNS = 16
local turns = {}

-- Whether somebody may wait for a target that is free.
function queue.has_more_turns(target) return (turns[target] or 0) > TURNS end

-- Gives a free target to the next run. `urgent_since`: the last holder was urgent, and from then on only such held it.
function queue.grant_next(target, urgent_since)
  turns[target] = (turns[target] or 0) + 1
  if queue.has_more_turns(target) then return end
  local urgent, other = queue.first_servable(target, true), queue.first_servable(target, false)
  local had = urgent_since and now - urgent_since or 0
  if urgent and not (other and had >= settings.yield_within) then
    queue.grant(target, urgent, 'urgent_since', urgent_since or now)
  elseif other then
    queue.grant(target, other, 'keep_until', now + had)
  end
end

-- Whether the run that holds the target makes room for an urgent one, and is to be given nothing more. Switches when it has.
function queue.yields(target, run)
  local urgent_since, keep_until, yield_until =
    unpack(call('HMGET', key.lease(target), 'urgent_since', 'keep_until', 'yield_until'))
  if urgent_since then return false end
  local waits = call('ZCOUNT', key.waiting(target), '-inf', URGENT) > 0
  local urgent = waits and queue.first_servable(target, true)
  if not urgent then
    if yield_until then call('HDEL', key.lease(target), 'yield_until') end
    return false
  end
  if now < tonumber(keep_until or 0) or call('HGET', key.run(run), 'owed_job') == '1' then return false end
  if not yield_until then
    yield_until = now + settings.yield_within
    call('HSET', key.lease(target), 'yield_until', yield_until)
    queue.take_back_unread(target)
    queue.publish_change(run, '"yields_to":' .. cjson.encode(urgent))
  end
  local claimed = call('XLEN', key.stream(target)) > 0
  if claimed and now < tonumber(yield_until) then return true end
  call('HSET', key.run(run), 'yielded', 1, 'owed_job', claimed and 1 or 0)
  queue.step_back(target, run)
  queue.grant(target, urgent, 'urgent_since', now)
  return true
end
