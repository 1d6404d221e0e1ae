-- How a run goes from stage to stage, and how it ends.

-- The stage is over when nothing of it is left in any place (I1 makes that exact); then the next one begins.
-- After the close job the run is over.
function queue.advance(target)
  -- First, for it is what settles find nearly always.
  if call('XLEN', key.stream(target)) > 0 then return end
  local run, opened = unpack(call('HMGET', key.lease(target), 'run', 'opened'))
  if not run then return end
  local state, stage, stages, listens = unpack(call('HMGET', key.run(run), 'state', 'stage', 'stages', 'listens_until'))
  if listens then return end -- more may come
  if state == 'running' then
    if opened ~= '1' then return end
  elseif state ~= 'ending' then
    return
  end
  if call('EXISTS', key.delayed(run)) == 1 then return end

  stage, stages = tonumber(stage), tonumber(stages)
  local first = stage
  while call('EXISTS', key.backlog(run, stage)) == 0 do
    if stage > stages then return queue.finish_well(target, run) end
    stage = stage + 1
  end
  if stage ~= first then
    call('HSET', key.run(run), 'stage', stage, 'updated', now)
    queue.publish_change(run)
  end
end

-- Nothing is left to do.
function queue.finish_well(target, run)
  local state, ending_as, held_counter, dropped =
    unpack(call('HMGET', key.run(run), 'state', 'ending_as', 'held_counter', 'dropped'))
  if state == 'ending' then return queue.finish(target, run, ending_as, true) end
  local held = held_counter ~= '' and tonumber(call('HGET', key.counts(run), held_counter) or 0) > 0
  if held or dropped or call('EXISTS', key.dead(run)) == 1 then
    return queue.finish(target, run, 'finished_held', true)
  end
  queue.finish(target, run, 'finished', true)
end

-- The final state and the final event, together and once (I10). `closed`: nothing of the run is open any more.
-- Then the next run gets the target.
function queue.finish(target, run, state, closed)
  local fields = queue.as_table(call('HGETALL', key.run(run)))
  local holder, urgent_since = unpack(call('HMGET', key.lease(target), 'run', 'urgent_since'))
  local holds = holder == run
  if holds then
    queue.drop_jobs(target, run)
    call('DEL', key.lease(target))
  end
  for stage = 0, fields.stages + 1 do call('UNLINK', key.backlog(run, stage)) end
  call('UNLINK', key.delayed(run), key.cursors(run), key.tries(run))
  call('ZREM', key.waiting(target), fields.line)
  queue.forget_same(target, run)
  call('ZREM', key.live, run)

  call('HSET', key.run(run), 'state', state, 'finished', now, 'updated', now, 'closed', closed and 1 or 0)
  -- What only a run under way needs.
  call('HDEL', key.run(run), 'open', 'close')
  local name = fields.event_finished
  if state == 'failed' then name = fields.event_failed end
  if state == 'cancelled' or state == 'unlocked' then name = fields.event_cancelled end
  local more = { '"closed":' .. tostring(closed) }
  if fields.error then more[#more + 1] = '"error":' .. cjson.encode(fields.error) end
  if fields.by then more[#more + 1] = '"by":' .. cjson.encode(fields.by) end
  queue.publish(run, name, table.concat(more, ','))

  if fields.listens_until then
    queue.unlisten(run)
  else
    call('ZADD', key.history, now, run)
    call('HSET', key.last, target, run)
  end
  local expired = call('ZRANGEBYSCORE', key.history, '-inf', now - settings.retention, 'LIMIT', 0, PIECE)
  queue.in_pieces('ZREM', key.history, expired)
  for _, name_of in ipairs({ key.run, key.counts, key.notes, key.dead }) do
    call('PEXPIRE', name_of(run), settings.retention)
  end
  -- One in line may have been what the holder made room for.
  if holds then queue.grant_next(target, urgent_since) else queue.feed(target) end
end

-- Everything of the run that is still to do vanishes; settles of what is claimed will answer `lost`.
function queue.drop_jobs(target, run)
  local ids = {}
  for _, entry in ipairs(call('XRANGE', key.stream(target), '-', '+')) do ids[#ids + 1] = entry[1] end
  queue.remove(target, ids)
  for stage = 0, call('HGET', key.run(run), 'stages') + 1 do call('UNLINK', key.backlog(run, stage)) end
  call('UNLINK', key.delayed(run), key.cursors(run), key.tries(run))
end

-- Ending before the end: failed, cancelled, unlocked. One mechanism: drop all jobs, then the close job alone, then the final state.
-- The close job is needed only if an open job may have reached a worker (without one: any job), and possible only if the run
-- holds its target and a worker is alive.
function queue.end_early(target, run, state, field, words)
  call('HSET', key.run(run), field, words, 'updated', now)
  local open, close, touched, started, stages, requires =
    unpack(call('HMGET', key.run(run), 'open', 'close', 'touched', 'started', 'stages', 'requires'))
  local holds = call('HGET', key.lease(target), 'run') == run
  local claimed = holds and call('XPENDING', key.stream(target), GROUP)[1] > 0
  local needed = close ~= '' and (touched == '1' or claimed or open == '' and started)
  if not holds then return queue.finish(target, run, state, not needed) end
  queue.drop_jobs(target, run)
  if not needed then return queue.finish(target, run, state, true) end
  if not queue.servable(requires) then return queue.finish(target, run, state, false) end

  local last = stages + 1
  call('RPUSH', key.backlog(run, last), close)
  call('HSET', key.run(run), 'state', 'ending', 'ending_as', state, 'ending_until', now + settings.close_within, 'stage', last)
  queue.publish_change(run, '"ending_as":"' .. state .. '"')
  queue.feed(target)
end
