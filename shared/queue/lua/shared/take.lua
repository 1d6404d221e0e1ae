-- Taking jobs out of the stream: for good, back to the front of their backlog, or to the dead.

-- Acknowledges and deletes. Both, always: an entry that is only acknowledged would stay in the stream for ever.
-- Answers how many were there.
function queue.remove(target, ids)
  local stream, removed = key.stream(target), 0
  for first = 1, #ids, PIECE do
    local last = math.min(first + PIECE - 1, #ids)
    call('XACK', stream, GROUP, unpack(ids, first, last))
    removed = removed + call('XDEL', stream, unpack(ids, first, last))
  end
  return removed
end

-- The same for the oldest entries of the stream, when `ids` are all there are up to `last`: a trim drops them together,
-- which takes a twentieth of the time of as many deletions. It must be certain: what else lies there would be lost.
function queue.remove_oldest(target, ids, last)
  local stream, time, number = key.stream(target), string.match(last, '^(%d+)-(%d+)$')
  call('XACK', stream, GROUP, unpack(ids))
  call('XTRIM', stream, 'MINID', string.format('%s-%d', time, number + 1))
end

-- More failures of one job than this are not kept; policies give up long before.
local TRIES = 20

-- How a job failed so far: [[time, words]], oldest first.
local function tries_of(run, id)
  local packed = call('HGET', key.tries(run), id)
  return packed and cmsgpack.unpack(packed) or {}
end

-- An execution came to nothing; the job stays open.
function queue.tried(run, id, time, words, tries)
  tries = tries or tries_of(run, id)
  tries[#tries + 1] = { time, words }
  if #tries > TRIES then table.remove(tries, 1) end
  call('HSET', key.tries(run), id, cmsgpack.pack(tries))
end

-- What is kept beside the text of open jobs goes with them.
function queue.forget(run, ids)
  for _, name_of in ipairs({ key.cursors, key.tries }) do
    if call('EXISTS', name_of(run)) == 1 then queue.in_pieces('HDEL', name_of(run), ids) end
  end
end

-- Puts a job among the run's dead. `job` as item.parse gives it; a kind of '' is what was no job.
function queue.bury(run, job, reason)
  call('HINCRBY', key.run(run), 'dead.' .. job.stage, 1)
  call('RPUSH', key.dead(run), cmsgpack.pack({
    job.id, job.kind, job.stage, job.attempts, job.crashes, reason, now, job.payload, tries_of(run, job.id),
  }))
  queue.forget(run, { job.id })
end

-- An entry that is no job: kept raw with the reason (I11), with the run that holds the target; dropped when there is none.
function queue.bury_raw(target, entry, reason)
  local run, stage = call('HGET', key.lease(target), 'run'), nil
  if not run then return end
  stage = tonumber(call('HGET', key.run(run), 'stage'))
  queue.bury(run, { id = entry[1], kind = '', stage = stage, attempts = 0, crashes = 0, payload = cmsgpack.pack(entry[2]) }, reason)
end

-- Entries (as XRANGE answers) go back to the front of their run's backlog, in the order they had.
-- `crashed`: set of entry ids whose worker died over them; everything else keeps its counts.
function queue.take_back(target, entries, crashed)
  local ids = {}
  for i = #entries, 1, -1 do
    local id, run = entries[i][1], item.run_of(entries[i])
    local job = run and item.parse(item.of(entries[i]))
    if not job then
      queue.bury_raw(target, entries[i], 'not a job')
    elseif call('EXISTS', key.run(run)) == 1 then
      if crashed and crashed[id] then
        job.crashes = job.crashes + 1
        queue.tried(run, job.id, now, 'its worker ended while executing it')
      end
      -- It may have reached its worker: then something is open that must be closed.
      if job.stage == 0 then call('HSET', key.run(run), 'touched', 1) end
      call('LPUSH', key.backlog(run, job.stage), item.text(job))
    end
    ids[#ids + 1] = id
  end
  queue.remove(target, ids)
end

-- Entries that nobody has claimed yet go back.
function queue.take_back_unread(target)
  local stream, claimed, unread = key.stream(target), {}, {}
  if call('EXISTS', stream) == 0 then return end
  for _, pending in ipairs(call('XPENDING', stream, GROUP, '-', '+', PIECE)) do claimed[pending[1]] = true end
  for _, entry in ipairs(call('XRANGE', stream, '-', '+')) do
    if not claimed[entry[1]] then unread[#unread + 1] = entry end
  end
  queue.take_back(target, unread)
end

-- After a jump of Redis' clock the claims of a held target begin anew, and so does its lease (clock.lua).
function queue.heed_jumps(target)
  local run, heeded = unpack(call('HMGET', key.lease(target), 'run', 'jumps'))
  if not run or tonumber(heeded or 0) == jumps then return end
  call('HSET', key.lease(target), 'jumps', jumps, 'expires', now + settings.lease)
  local stream = key.stream(target)
  for _, claim in ipairs(call('XPENDING', stream, GROUP, '-', '+', PIECE)) do
    call('XCLAIM', stream, GROUP, claim[2], 0, claim[1], 'IDLE', 0, 'JUSTID')
  end
end

-- Which of these claims are dead: idle for longer than a lease, and started (extend.lua marks the others with 0 deliveries).
function queue.crashed(target)
  queue.heed_jumps(target)
  local idle = call('XPENDING', key.stream(target), GROUP, 'IDLE', settings.lease, '-', '+', PIECE)
  local ids, started = {}, {}
  for _, claim in ipairs(idle) do
    ids[#ids + 1] = claim[1]
    if claim[4] > 0 then started[claim[1]] = true end
  end
  return ids, started
end

-- Every entry, read, unread or claimed, goes back. Their settles will answer `lost`.
function queue.revoke(target)
  if call('EXISTS', key.stream(target)) == 0 then return end
  local _, crashed = queue.crashed(target)
  queue.take_back(target, call('XRANGE', key.stream(target), '-', '+'), crashed)
end
