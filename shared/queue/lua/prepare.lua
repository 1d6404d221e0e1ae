-- prepare: jobs of a large run come to Redis ahead of the submit that makes the run real, so that no script takes long.
-- ARGV[3]: run, stage, at (how many of this stage came before), jobs [job text]
-- Result: 1, or 0 when they do not go on where the last piece ended; then nothing is written.
-- Nobody sees these jobs before the submit, and without one they expire. Never adds to a run that is there.

local AHEAD_FOR = 10 * 60 * 1000

local backlog = key.backlog(args.run, args.stage)
if call('EXISTS', key.run(args.run)) == 1 then return 0 end
if args.at > 0 and call('LLEN', backlog) ~= args.at then return 0 end

if args.at == 0 then call('UNLINK', backlog) end -- of an attempt that broke off
queue.in_pieces('RPUSH', backlog, args.jobs)
call('PEXPIRE', backlog, AHEAD_FOR)
return 1
