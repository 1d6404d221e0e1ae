-- tick: a worker says that it lives, and does for its targets what time brings.
-- ARGV[3]: consumer, host, pid, version, instances (separated by spaces), slots, held, targets, just_back
--          (just_back: this worker was cut off for a while, so signs of life are missing that are no signs of death)
-- Result (MessagePack): { targets = [[target, run or '', this worker can serve it]], next_due = ms until something is to be done, or -1, now }
-- Never takes a target from a run that a live worker serves.

local known = {}
for name in string.gmatch(args.instances, '%S+') do known[name] = true end

local worker = key.worker(args.consumer)
call('HSETNX', worker, 'since', now)
call('HSET', worker, 'consumer', args.consumer, 'host', args.host, 'pid', args.pid, 'version', args.version,
  'instances', args.instances, 'slots', args.slots, 'held', args.held, 'seen', now)
call('PEXPIRE', worker, settings.lease)
call('ZADD', key.workers, now + settings.lease, args.consumer)
call('ZREMRANGEBYSCORE', key.workers, '-inf', now)

local function keep_lease(target)
  queue.heed_jumps(target)
  local run, expires = unpack(call('HMGET', key.lease(target), 'run', 'expires'))
  if not run then return queue.grant_next(target) end
  local state, ending_until, requires = unpack(call('HMGET', key.run(run), 'state', 'ending_until', 'requires'))
  if not state then -- the run's own key is gone: nothing to hold on to
    call('DEL', key.lease(target))
    return queue.grant_next(target)
  end
  if state == 'ending' and now >= tonumber(ending_until) then
    return queue.finish(target, run, call('HGET', key.run(run), 'ending_as'), false)
  end

  local lapsed = now > tonumber(expires)
  if queue.knows(known, requires) then
    -- While claims are alive nobody was away; otherwise start over: dead claims count, the rest is as it was.
    if lapsed and not args.just_back and #queue.crashed(target) == call('XPENDING', key.stream(target), GROUP)[1] then
      -- The time in which nobody worked was nobody's turn.
      if call('HEXISTS', key.lease(target), 'urgent_since') == 1 then call('HSET', key.lease(target), 'urgent_since', now) end
      return queue.grant_anew(target, run)
    end
    return queue.renew(target)
  end
  -- A paused run keeps its turn, one that is ending has little time left.
  if lapsed and state == 'running' and (queue.first_servable(target, true) or queue.first_servable(target, false)) then
    queue.step_back(target, run)
    queue.grant_next(target)
  end
end

local answer, next_due = {}, nil

-- Something is to be done at this time (ms), unless it is over or nil.
local function wake_at(time)
  if time and time > now and (not next_due or time < next_due) then next_due = time end
end

for _, target in ipairs(args.targets) do
  queue.ensure_group(target)
  keep_lease(target)
  local run = call('HGET', key.lease(target), 'run')
  if run then
    local due = queue.promote(run)
    if due then wake_at(math.max(due, now + 1)) end -- more may be due than one call moves
    queue.advance(target)
    if queue.feed(target) then wake_at(now + 1) end
    local _, rest_until, gap = queue.window(target, 1)
    wake_at(rest_until)
    -- With gaps, it is ticks that hand out jobs, so one follows the other.
    if gap > 0 and call('HGET', key.run(run), 'state') == 'running' then wake_at(math.max(rest_until, now + math.ceil(gap))) end
    for _, time in ipairs(call('HMGET', key.lease(target), 'yield_until', 'keep_until')) do wake_at(tonumber(time or 0)) end
  end
  run = call('HGET', key.lease(target), 'run') -- advance may have ended it
  if queue.has_more_turns(target) then wake_at(now + 1) end
  local requires = run and call('HGET', key.run(run), 'requires')
  answer[#answer + 1] = { target, run or '', requires ~= nil and requires ~= false and queue.knows(known, requires) }
end
return cmsgpack.pack({ targets = answer, next_due = next_due and math.max(next_due - now, 0) or -1, now = now })
