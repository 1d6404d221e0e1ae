-- view: runs as they are at one moment.
-- ARGV[3]: runs, or last: of each target the run that ended last, or target: its live ones; claims: also who has claimed what
-- Result (MessagePack): [{ fields = [name, value...], counts = [...], backlog = [per stage from 0], ready, claimed, delayed, dead,
--                          lease = [...] when it holds its target, position when it waits, claims = [[consumer, job, kind]],
--                          window (jobs at a time now), rest = ms until its target is fed again }]
-- Never writes.

-- Of every claimed entry of a stream: who has it, and which job it is.
local function claims_in(stream)
  local holders, claims = {}, {}
  for _, pending in ipairs(call('XPENDING', stream, GROUP, '-', '+', PIECE)) do holders[pending[1]] = pending[2] end
  for _, entry in ipairs(call('XRANGE', stream, '-', '+')) do
    local job = holders[entry[1]] and item.parse(item.of(entry))
    if holders[entry[1]] then
      claims[#claims + 1] = { holders[entry[1]], job and job.id or entry[1], job and job.kind or '' }
    end
  end
  return claims
end

local function view(run)
  local flat = call('HGETALL', key.run(run))
  if #flat == 0 then return nil end
  local fields = queue.as_table(flat)
  local seen = {
    fields = flat, counts = call('HGETALL', key.counts(run)), backlog = {}, ready = 0, claimed = 0,
    delayed = call('ZCARD', key.delayed(run)), dead = call('LLEN', key.dead(run)), lease = {}, position = 0, now = now, claims = {},
  }
  for stage = 0, fields.stages + 1 do seen.backlog[#seen.backlog + 1] = call('LLEN', key.backlog(run, stage)) end
  if call('HGET', key.lease(fields.target), 'run') == run then
    local stream = key.stream(fields.target)
    seen.lease = call('HGETALL', key.lease(fields.target))
    if call('EXISTS', stream) == 1 then
      seen.claimed = call('XPENDING', stream, GROUP)[1]
      seen.ready = call('XLEN', stream) - seen.claimed
      if args.claims then seen.claims = claims_in(stream) end
    end
  end
  local window, rest_until = queue.window(fields.target, tonumber(fields.window))
  seen.window, seen.rest = window, math.max(rest_until - now, 0)
  local position = call('ZRANK', key.waiting(fields.target), fields.line)
  if position then seen.position = position + 1 end
  return seen
end

local runs = args.runs
if args.last then
  runs = call('HVALS', key.last)
elseif args.target then
  runs = call('ZREVRANGE', key.live, 0, -1)
end

local views = {}
for _, run in ipairs(runs) do
  if not args.target or call('HGET', key.run(run), 'target') == args.target then views[#views + 1] = view(run) end
end
return cmsgpack.pack(views)
