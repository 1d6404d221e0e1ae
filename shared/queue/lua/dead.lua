-- dead: what people do to a run's buried jobs: back to work, or away for good.
-- ARGV[3]: run, jobs (ids; absent: all), retry (false: they are dropped), by, event (its name),
--          left (how many buried jobs are still to be looked at; absent: all)
-- Result (MessagePack): [state ('' when there is no such run), ids of the jobs it was done to, left]; to be called again while any are left
-- One call looks at a few, the oldest, and puts those that stay behind all others: in the end they lie in their order again.
-- A job goes back to the front of its own stage, with attempts and crashes at zero; a run that had gone past that stage goes back to it.
-- Never puts back what was no job, nor anything into a run that is ending or over. A dropped job still makes the run end as finished_held.

local run = args.run
local target, state, stage, stages = unpack(call('HMGET', key.run(run), 'target', 'state', 'stage', 'stages'))
if not state then return cmsgpack.pack({ '', {}, 0 }) end
stage = tonumber(stage)
local live = state == 'waiting' or state == 'running' or state == 'paused'
-- With its close job handed out there is no way back; also of a paused run a worker may be closing what is open just now.
if live and stage > tonumber(stages) then state, live = 'ending', false end
if args.retry and not live then return cmsgpack.pack({ state, {}, 0 }) end

local wanted
if args.jobs then
  wanted = {}
  for _, id in ipairs(args.jobs) do wanted[id] = true end
end

-- What one call looks at.
local JOBS, BYTES = 200, 2 ^ 20

local expires = call('PTTL', key.dead(run))
local left = math.min(args.left or math.huge, call('LLEN', key.dead(run)))
local ids, jobs, kept, looked, bytes = {}, {}, {}, 0, 0
while looked < math.min(JOBS, left) and bytes < BYTES do
  local packed = call('LPOP', key.dead(run))
  local id, kind, of_stage, _, _, reason, time, payload, tries = unpack(cmsgpack.unpack(packed))
  if (wanted and not wanted[id]) or (args.retry and kind == '') then
    kept[#kept + 1] = packed
  else
    ids[#ids + 1] = id
    jobs[#jobs + 1] = {
      id = id, kind = kind, stage = of_stage, attempts = 0, crashes = 0, payload = payload,
      reason = reason, time = time, tries = tries,
    }
  end
  looked, bytes = looked + 1, bytes + #packed
end
left = left - looked
queue.in_pieces('RPUSH', key.dead(run), kept)
if expires > 0 then call('PEXPIRE', key.dead(run), expires) end
if #ids == 0 then return cmsgpack.pack({ state, {}, left }) end

local back_to = stage
for i = #jobs, 1, -1 do
  local job = jobs[i]
  call('HINCRBY', key.run(run), 'dead.' .. job.stage, -1)
  if args.retry then
    call('LPUSH', key.backlog(run, job.stage), item.text(job))
    queue.tried(run, job.id, job.time, job.reason, job.tries)
    back_to = math.min(back_to, job.stage)
  end
end

call('HSET', key.run(run), 'updated', now)
if not args.retry then call('HINCRBY', key.run(run), 'dropped', #ids) end
queue.publish(run, args.event, '"jobs":' .. cjson.encode(ids) .. ',"by":' .. cjson.encode(args.by))
if args.retry then
  local holds = call('HGET', key.lease(target), 'run') == run
  if back_to < stage then
    call('HSET', key.run(run), 'stage', back_to)
    if holds then queue.take_back_unread(target) end
  end
  if holds then queue.feed(target) end
end
return cmsgpack.pack({ state, ids, left })
