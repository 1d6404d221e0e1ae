-- split: a claimed job adds jobs to the end of its own stage and notes how far it is.
-- ARGV[3]: consumer, target, run, lease, entry, job, stage, jobs [job text], before (cursor so far, or ''), cursor
-- Result: 1 done, 0 the claim is lost.
-- Repeating a call changes nothing: the cursor it would write is there already.
-- It grows memory, so a Redis over maxmemory refuses it. Never ends the claim: the job leaves by settle.

local run, lease_id = unpack(call('HMGET', key.lease(args.target), 'run', 'id'))
if run ~= args.run or lease_id ~= args.lease then return 0 end
if #call('XPENDING', key.stream(args.target), GROUP, args.entry, args.entry, 1, args.consumer) == 0 then return 0 end
local entry = call('XRANGE', key.stream(args.target), args.entry, args.entry)[1]
if not entry or item.head(item.of(entry)) ~= args.job then return 0 end

local cursor = call('HGET', key.cursors(run), args.job) or ''
if cursor == args.cursor then return 1 end
if cursor ~= args.before then return 0 end

queue.in_pieces('RPUSH', key.backlog(run, args.stage), args.jobs)
call('HSET', key.cursors(run), args.job, args.cursor)
queue.feed(args.target)
return 1
