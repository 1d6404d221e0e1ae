-- pause: nothing more of the run is handed out. What is claimed runs to its end; what is only ready goes back.
-- ARGV[3]: run
-- Result: the state it is in now, or '' when there is no such run.
-- Never changes a run that is waiting, ending or over. A paused run keeps its target.

local target, state = unpack(call('HMGET', key.run(args.run), 'target', 'state'))
if not state then return '' end
if state ~= 'running' then return state end
call('HSET', key.run(args.run), 'state', 'paused', 'updated', now)

queue.take_back_unread(target)
queue.publish_change(args.run)
return 'paused'
