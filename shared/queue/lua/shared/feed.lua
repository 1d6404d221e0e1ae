-- The one rule that decides which jobs workers see: who is fed.
-- Moves jobs of the run that holds the target from the front of its backlog to the stream, while the window has room.
-- Called at the end of every script that may have made room. Never touches a run without the lease.

-- The id of an entry says when it was handed out (pace.lua). It is by a clock that never goes back, so this fails only where
-- somebody else added entries with times of their own.
local function add(stream, id, ...)
  if type(redis.pcall('XADD', stream, id, ...)) == 'table' then call('XADD', stream, '*', ...) end
end

-- Bytes that one call moves, so that Redis is not busy with it for long.
local MOST = 2 ^ 20

-- Answers whether there is room for more than one call moves: the next one, a tick at the latest, goes on.
function queue.feed(target)
  local run, opened, most, lease_id, fence =
    unpack(call('HMGET', key.lease(target), 'run', 'opened', 'window', 'id', 'fence'))
  if not run then return end
  local state, stage = unpack(call('HMGET', key.run(run), 'state', 'stage'))
  if state ~= 'running' and state ~= 'ending' then return end
  if state == 'running' and queue.yields(target, run) then return end
  -- Until the open job has brought the fence, nothing else may run; a run that ends early goes straight to its close job.
  if opened ~= '1' and state == 'running' then stage = '0' end

  -- A target that asked to be left alone is; only a run that ends early may still close.
  local window, rest_until, gap = queue.window(target, tonumber(most))
  if now < rest_until and state == 'running' then return end
  local room = window - call('XLEN', key.stream(target))
  if room <= 0 then return end
  local backlog, stream = key.backlog(run, stage), key.stream(target)
  local jobs = call('LPOP', backlog, 1)
  if not jobs then return end
  -- Jobs of a stage are of a size, about.
  local fits = math.max(math.floor(MOST / #jobs[1]), 1)
  local more = math.min(room, fits) > 1 and call('LPOP', backlog, math.min(room, fits) - 1) or {}
  for _, job in ipairs(more) do jobs[#jobs + 1] = job end
  if state == 'running' then queue.space(target, gap) end

  local any_cursor = call('EXISTS', key.cursors(run)) == 1
  local id, turn = now .. '-*', table.concat({ run, lease_id, fence }, '\n')
  for _, job in ipairs(jobs) do
    local cursor = any_cursor and call('HGET', key.cursors(run), (item.head(job)))
    if cursor then
      add(stream, id, turn, job, 'cursor', cursor)
    else
      add(stream, id, turn, job)
    end
  end
  return fits < room and call('EXISTS', backlog) == 1
end

-- Delayed jobs whose time has come go to the front of their backlog. The time of the next one, or nil.
function queue.promote(run)
  local delayed = key.delayed(run)
  local due = call('ZRANGEBYSCORE', delayed, '-inf', now, 'LIMIT', 0, PIECE)
  if #due > 0 then
    for i = #due, 1, -1 do
      local _, stage = item.head(due[i])
      call('LPUSH', key.backlog(run, stage), due[i])
    end
    queue.in_pieces('ZREM', delayed, due)
  end
  local next_one = call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
  return next_one[2] and tonumber(next_one[2])
end
