-- submit: a run with all its jobs comes into being, or nothing of it does.
-- ARGV[3]: id, source, target, requires (separated by spaces), priority, urgent, dedup, window, spec, labels (JSON fragment), totals (opaque),
--          held_counter, listens (names of events, of a listener), refuse, open, close (jobs as text, or ''), stages: [[name, [job text], ahead]], names: {started, finished, failed, cancelled, changed},
--          tick: {schedule, planned (0: by hand), after} of a run that a schedule asks for
--          (ahead: so many jobs of the stage came before, by prepare.lua; none with them)
-- Result (MessagePack): {incomplete} when those are not all there | {granted} | {waiting = position} | {already} | {refused = run} | {same = run}
--                       | {handled}: the tick had its turn before
-- It grows memory, so a Redis over maxmemory refuses it before its first line.
-- Never changes a run that is there already, but for what a listener listens to, and until when.

local run, target = args.id, args.target

-- A listener that was given up begins anew.
if args.listens and call('HEXISTS', key.run(run), 'finished') == 1 then
  call('UNLINK', key.run(run), key.counts(run), key.notes(run), key.dead(run))
end
if call('EXISTS', key.run(run)) == 1 then
  if args.listens then queue.listen(run, args.listens) end
  return cmsgpack.pack({ already = true })
end

-- What came ahead of a run that is not to be goes away with it.
local function decline(answer)
  for stage, named in ipairs(args.stages) do
    if named[3] > 0 then call('UNLINK', key.backlog(run, stage)) end
  end
  return cmsgpack.pack(answer)
end

local handled = args.tick and queue.tick_handled(args.tick)
if handled then return decline(handled) end

if args.refuse then
  local holder = call('HGET', key.lease(target), 'run')
  if not holder then
    local first = call('ZRANGE', key.waiting(target), 0, 0)[1]
    holder = first and string.match(first, ':(.*)$')
  end
  if holder then return decline({ refused = holder }) end
end

local same = queue.same(target, args.dedup, args.urgent)
if same then
  if args.tick then queue.tick_fired(args.tick, same) end
  return decline({ same = same })
end

for stage, named in ipairs(args.stages) do
  if named[3] > 0 and call('LLEN', key.backlog(run, stage)) ~= named[3] then return decline({ incomplete = true }) end
end

local names, line = {}, string.format('%015d:%s', call('INCR', key.counter), run)
for stage, named in ipairs(args.stages) do
  names[stage] = named[1]
  call('PERSIST', key.backlog(run, stage))
  queue.in_pieces('RPUSH', key.backlog(run, stage), named[2])
end
if args.close ~= '' then call('RPUSH', key.backlog(run, #names + 1), args.close) end

call('HSET', key.run(run),
  'id', run, 'source', args.source, 'target', target, 'requires', args.requires,
  'priority', args.priority, 'urgent', args.urgent, 'dedup', args.dedup, 'window', args.window, 'spec', args.spec, 'labels', args.labels, 'totals', args.totals,
  'held_counter', args.held_counter, 'open', args.open, 'close', args.close,
  'stages', #names, 'stage_names', table.concat(names, '\n'), 'stage', 1,
  'state', 'waiting', 'created', now, 'updated', now, 'line', line, 'fence_losses', 0, 'notes_total', 0,
  'event_started', args.names.started, 'event_finished', args.names.finished,
  'event_failed', args.names.failed, 'event_cancelled', args.names.cancelled, 'event_changed', args.names.changed or '')
if args.dedup ~= '' then call('HSET', key.same(target), args.urgent .. ':' .. args.dedup, run) end
if args.tick then queue.tick_fired(args.tick, run) end
queue.stand_in_line(target, run)
if args.listens then
  queue.listen(run, args.listens)
else
  call('ZADD', key.live, now, run)
  call('SADD', key.targets, target)
end
queue.publish_change(run)

-- An idle target is granted here and now, so that nothing on this path waits for a timer.
-- When no worker can serve this run, nothing has changed for those before it: their time comes with a worker's tick.
-- On a target that is held, an urgent run makes the holder yield.
if call('EXISTS', key.lease(target)) == 1 then
  queue.feed(target)
elseif queue.servable(args.requires) then
  queue.grant_next(target)
end

local position = call('ZRANK', key.waiting(target), line)
if position then return cmsgpack.pack({ waiting = position + 1 }) end
return cmsgpack.pack({ granted = true })
