-- resume: a paused run goes on.
-- ARGV[3]: run
-- Result: the state it is in now, or '' when there is no such run.

local target, state = unpack(call('HMGET', key.run(args.run), 'target', 'state'))
if not state then return '' end
if state ~= 'paused' then return state end
call('HSET', key.run(args.run), 'state', 'running', 'updated', now)
queue.publish_change(args.run)
queue.advance(target)
queue.feed(target)
return call('HGET', key.run(args.run), 'state')
