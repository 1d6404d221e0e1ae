-- ration: the turn of an amount that is brought to a target at so much a second, whoever brings it.
-- ARGV[3]: target, amount, per_second
-- Result: how many milliseconds to wait before. What is asked for is taken; the next one waits for it.
-- Never touches a run or a job.

local free = tonumber(call('HGET', key.ration(args.target), 'free') or 0)
local begins = math.max(now, free)
local ends = begins + args.amount * 1000 / args.per_second

call('HSET', key.ration(args.target), 'free', string.format('%.3f', ends))
call('PEXPIRE', key.ration(args.target), math.ceil(ends - now) + 60000)
return math.ceil(begins - now)
