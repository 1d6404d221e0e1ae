-- The lease: which run may use a target. It says who works next; what protects the data is the fence its open job brings.

-- A new id for the lease the run holds: what was handed out under the old one is void, and the run must open again.
local function renew_id(target, run)
  local epoch = call('INCR', key.counter)
  call('HINCRBY', key.leases, target, 1)
  local lease_id = epoch .. '.' .. random -- random, so that no other Redis ever makes the same one
  local open, out = unpack(call('HMGET', key.run(run), 'open', 'open_is_out'))
  local needs_open = open and open ~= ''
  call('HSET', key.lease(target), 'id', lease_id, 'epoch', epoch, 'fence', '', 'opened', needs_open and 0 or 1)
  if needs_open and out ~= '1' then
    call('RPUSH', key.backlog(run, 0), open)
    call('HSET', key.run(run), 'open_is_out', 1)
  end
end

function queue.renew(target)
  call('HSET', key.lease(target), 'renewed', now, 'expires', now + settings.lease)
  call('HINCRBY', key.lease(target), 'renewals', 1)
end

-- Gives a free target to a run. The lease says what kind of turn it is: `about`, `time` (line.lua).
function queue.grant(target, run, about, time)
  local started, window, line = unpack(call('HMGET', key.run(run), 'started', 'window', 'line'))
  call('ZREM', key.waiting(target), line)
  call('HSET', key.lease(target), 'run', run, 'since', now, 'renewed', now, 'expires', now + settings.lease,
    'jumps', jumps, 'window', window, about, time)
  call('HSET', key.run(run), 'state', 'running', 'updated', now, 'yielded', 0)
  renew_id(target, run)
  if started then
    queue.publish_change(run)
  else
    queue.forget_same(target, run)
    call('HSET', key.run(run), 'started', now)
    queue.publish(run, call('HGET', key.run(run), 'event_started'), '')
  end
  queue.ensure_group(target)
  queue.advance(target)
  queue.feed(target)
end

-- The holder steps back in line; its jobs lie in its backlog again.
function queue.step_back(target, run)
  queue.revoke(target)
  call('DEL', key.lease(target))
  call('HSET', key.run(run), 'state', 'waiting', 'updated', now)
  queue.stand_in_line(target, run)
  queue.publish_change(run)
end

-- The same run holds on under a new lease id, after the fence was lost or the lease had lapsed.
-- A run that is ending keeps its id and fence: its close job needs them.
function queue.grant_anew(target, run)
  queue.revoke(target)
  if call('HGET', key.run(run), 'state') ~= 'ending' then renew_id(target, run) end
  queue.renew(target)
end

function queue.ensure_group(target)
  local stream = key.stream(target)
  if call('EXISTS', stream) == 0 or #call('XINFO', 'GROUPS', stream) == 0 then
    call('XGROUP', 'CREATE', stream, GROUP, '0', 'MKSTREAM')
  end
end
