-- pause: nothing more of the run is handed out. What is claimed runs to its end; what is only ready goes back.
-- ARGV[3]: run
-- Result: the state it is in now, or '' when there is no such run.
-- Never changes a run that is waiting, ending or over. A paused run keeps its target.

local target, state = unpack(call('HMGET', key.run(args.run), 'target', 'state'))
if not state then return '' end
if state ~= 'running' then return state end
call('HSET', key.run(args.run), 'state', 'paused', 'updated', now)

local stream, claimed, unread = key.stream(target), {}, {}
for _, pending in ipairs(call('XPENDING', stream, GROUP, '-', '+', PIECE)) do claimed[pending[1]] = true end
for _, entry in ipairs(call('XRANGE', stream, '-', '+')) do
  if not claimed[entry[1]] then unread[#unread + 1] = entry end
end
queue.take_back(target, unread)
queue.publish_change(args.run)
return 'paused'
