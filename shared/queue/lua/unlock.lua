-- unlock: whoever holds a target loses it, and its run ends as unlocked.
-- ARGV[3]: target, by
-- Result: { run ('' when nobody holds the target), the state now, closed }
-- A run that is ending already does not wait for its close job any longer.

local run = call('HGET', key.lease(args.target), 'run')
if not run then return { '', '', 0 } end
if call('EXISTS', key.run(run)) == 0 then
  call('DEL', key.lease(args.target))
  queue.grant_next(args.target)
  return { '', '', 0 }
end
if call('HGET', key.run(run), 'state') == 'ending' then
  queue.finish(args.target, run, call('HGET', key.run(run), 'ending_as'), false)
else
  queue.end_early(args.target, run, 'unlocked', 'by', args.by)
end
local state, closed = unpack(call('HMGET', key.run(run), 'state', 'closed'))
return { run, state, tonumber(closed or 0) }
