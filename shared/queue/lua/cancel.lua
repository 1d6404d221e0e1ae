-- cancel: a run ends early, as cancelled.
-- ARGV[3]: run, by
-- Result: { the state before ('' when there is no such run), the state now, closed }
-- Never changes a run that is ending or over.

local target, before = unpack(call('HMGET', key.run(args.run), 'target', 'state'))
if not before then return { '', '', 0 } end
if before == 'waiting' or before == 'running' or before == 'paused' then
  queue.end_early(target, args.run, 'cancelled', 'by', args.by)
end
local state, closed = unpack(call('HMGET', key.run(args.run), 'state', 'closed'))
return { before, state, tonumber(closed or 0) }
