-- keep: a small value under a name, for a while: what processes that share this deployment must agree on besides runs.
-- ARGV[3]: name, value, time (ms), first (true: only where none is kept)
-- Result: the value that is kept under this name now.
-- Never touches a run or a job.

local kept = key.kept(args.name)
local there = args.first and call('HGET', kept, 'value')
if there then return there end
call('HSET', kept, 'value', args.value)
call('PEXPIRE', kept, args.time)
return args.value
