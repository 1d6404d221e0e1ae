-- observe: somebody begins to watch the clock for a schedule.
-- ARGV[3]: schedule, expression (what its instants follow from), time (milliseconds, by the caller's clock)
-- Result: nothing
-- A schedule that is new, or has another expression than before, begins now: nothing before counts as missed.
-- Never touches a run.

local expression, handled = unpack(call('HMGET', key.schedule(args.schedule), 'expression', 'handled'))
if expression ~= args.expression or not handled then
  call('HSET', key.schedule(args.schedule), 'expression', args.expression, 'handled', args.time)
end
