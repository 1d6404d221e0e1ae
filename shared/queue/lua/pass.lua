-- pass: a tick of a schedule goes by without a run: it was skipped, or missed.
-- ARGV[3]: tick {schedule, planned, after}, run (that was not over; '' when the tick was missed), count (how many were missed), why, event (its name),
--          about (what the event is about: the inside of a JSON object)
-- Result: 1 | 0 when it was handled before.
-- Never makes a run, and never takes one back.

if queue.tick_handled(args.tick) then return 0 end

local more
if args.run ~= '' then
  queue.tick_skipped(args.tick, args.run)
  more = '"running":' .. cjson.encode(args.run)
else
  queue.tick_missed(args.tick, args.count, args.why)
  more = string.format('"missed":%d,"why":%s', args.count, cjson.encode(args.why))
end
emit(args.event, string.format('"schedule":%s,%s,"tick":"%s","time":"%s",%s',
  cjson.encode(args.tick.schedule), args.about, iso(args.tick.planned), iso(now), more))
return 1
