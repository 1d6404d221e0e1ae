-- settle: claims end, many in one call. For each: the job leaves its place, and everything that follows from it happens here.
-- ARGV[3]: consumer, claims: [{target, run, lease, entry, job, verdict, ...}], at most 500
--   verdict done:  counters [[name, by]], notes [bytes], event [name, JSON fragment], fence (of an open job), wrote
--           delay: after (ms), error     the attempt failed and counts
--           back:  after (ms)            nothing counts
--           bury:  error                 an open or close job ends the run instead
--           split: jobs [job text]       these take its place, at the front
--           fence_lost: holder
--           fail:  error                 ends the run
--           bury_raw: error              an entry that is no job
-- Result: for each claim 1, or 0 when it was lost (I3).
-- Never touches a claim whose run, lease, entry, job and consumer are not exactly those named. allow-oom: it shrinks.

local FENCES_LOST_IN_A_ROW = 5

-- The entries of this target that this consumer has claimed.
local function claims_of(target, claims)
  local stream, mine = key.stream(target), {}
  if call('EXISTS', stream) == 0 then return mine end
  if #claims < 4 then
    for _, claim in ipairs(claims) do
      mine[claim.entry] = #call('XPENDING', stream, GROUP, claim.entry, claim.entry, 1, args.consumer) > 0
    end
    return mine
  end
  -- A stream holds one window of entries, so this is at most 256.
  for _, pending in ipairs(call('XPENDING', stream, GROUP, '-', '+', PIECE, args.consumer)) do mine[pending[1]] = true end
  return mine
end

-- The job text behind a claim, or nil when the claim is lost.
local function job_of(claim, mine, run, lease_id)
  if claim.run ~= run or claim.lease ~= lease_id or not mine[claim.entry] then return nil end
  local entry = call('XRANGE', key.stream(claim.target), claim.entry, claim.entry)[1]
  if not entry then return nil end
  local text = queue.as_table(entry[2]).job
  if not text or item.head(text) ~= claim.job then return nil end
  return text
end

-- All `done` of one run at once.
local function settle_done(target, run, done)
  local ids, stages, counters, notes = {}, {}, {}, {}
  for _, claim in ipairs(done) do
    ids[#ids + 1] = claim.entry
    stages[claim.stage] = (stages[claim.stage] or 0) + 1
    for _, counter in ipairs(claim.counters or {}) do counters[counter[1]] = (counters[counter[1]] or 0) + counter[2] end
    for _, note in ipairs(claim.notes or {}) do notes[#notes + 1] = note end
  end
  queue.remove(target, ids)
  for stage, count in pairs(stages) do call('HINCRBY', key.run(run), 'done.' .. stage, count) end
  for name, by in pairs(counters) do call('HINCRBY', key.counts(run), name, by) end
  if #notes > 0 then
    local total = call('HINCRBY', key.run(run), 'notes_total', #notes)
    local room = settings.notes - (total - #notes)
    if room > 0 then queue.in_pieces('RPUSH', key.notes(run), { unpack(notes, 1, math.min(room, #notes)) }) end
  end
  call('HSET', key.run(run), 'updated', now)

  local last = call('HGET', key.run(run), 'stages') + 1
  local any_cursor = call('EXISTS', key.cursors(run)) == 1
  for _, claim in ipairs(done) do
    if any_cursor then call('HDEL', key.cursors(run), claim.job) end
    if claim.stage == 0 then
      call('HSET', key.lease(target), 'opened', 1, 'fence', claim.fence or '')
      call('HSET', key.run(run), 'open_is_out', 0, 'touched', 1)
    elseif claim.wrote then
      call('HSET', key.run(run), 'fence_losses', 0)
    end
    if claim.event then queue.publish(run, claim.event[1], claim.event[2]) end
  end
end

-- A control job that cannot be done ends the run; the close job of a run that is ending anyway only leaves it unclosed.
local function fail(target, run, job, words)
  local state, ending_as, stages = unpack(call('HMGET', key.run(run), 'state', 'ending_as', 'stages'))
  if state == 'ending' then return queue.finish(target, run, ending_as, false) end
  if job.stage == tonumber(stages) + 1 then
    call('HSET', key.run(run), 'error', words)
    return queue.finish(target, run, 'failed', false)
  end
  queue.end_early(target, run, 'failed', 'error', words)
end

local verdicts = {}

function verdicts.delay(claim, run, job)
  job.attempts = job.attempts + 1
  call('ZADD', key.delayed(run), now + claim.after, item.text(job))
  call('HSET', key.run(run), 'last_error', claim.error)
end

function verdicts.back(claim, run, job)
  if claim.after > 0 then
    call('ZADD', key.delayed(run), now + claim.after, item.text(job))
  else
    call('LPUSH', key.backlog(run, job.stage), item.text(job))
  end
end

function verdicts.bury(claim, run, job)
  local stages = tonumber(call('HGET', key.run(run), 'stages'))
  if job.stage == 0 or job.stage == stages + 1 then return verdicts.fail(claim, run, job) end
  call('HDEL', key.cursors(run), job.id)
  queue.bury(run, job, claim.error)
end

function verdicts.split(claim, run, job)
  for i = #claim.jobs, 1, -1 do call('LPUSH', key.backlog(run, job.stage), claim.jobs[i]) end
end

function verdicts.fence_lost(claim, run, job)
  -- Of a run that is ending, that is as good as closed.
  local state, ending_as = unpack(call('HMGET', key.run(run), 'state', 'ending_as'))
  if state == 'ending' then return queue.finish(claim.target, run, ending_as, true) end
  call('LPUSH', key.backlog(run, job.stage), item.text(job))
  local losses = call('HINCRBY', key.run(run), 'fence_losses', 1)
  if losses >= FENCES_LOST_IN_A_ROW then
    local words = string.format('the target was taken away %d times in a row before anything was written; %s holds it', losses, claim.holder)
    return queue.end_early(claim.target, run, 'failed', 'error', words)
  end
  queue.grant_anew(claim.target, run)
end

function verdicts.fail(claim, run, job)
  queue.bury(run, job, claim.error)
  fail(claim.target, run, job, claim.error)
end

local function settle_other(claim, mine)
  if claim.verdict == 'bury_raw' then
    if not mine[claim.entry] then return 0 end
    local entry = call('XRANGE', key.stream(claim.target), claim.entry, claim.entry)[1]
    if entry then queue.bury_raw(claim.target, entry, claim.error) end
    queue.remove(claim.target, { claim.entry })
    return 1
  end
  -- Asked anew for each: the one before may have ended the run or voided the lease.
  local run, lease_id = unpack(call('HMGET', key.lease(claim.target), 'run', 'id'))
  local text = job_of(claim, mine, run, lease_id)
  if not text then return 0 end
  local job = item.parse(text)
  queue.remove(claim.target, { claim.entry })
  if job.stage == 0 then call('HSET', key.run(run), 'touched', 1) end
  verdicts[claim.verdict](claim, run, job)
  return 1
end

local results, by_target = {}, {}
for i, claim in ipairs(args.claims) do
  claim.number = i
  by_target[claim.target] = by_target[claim.target] or {}
  table.insert(by_target[claim.target], claim)
end

for target, claims in pairs(by_target) do
  local run, lease_id = unpack(call('HMGET', key.lease(target), 'run', 'id'))
  local mine = claims_of(target, claims)
  local done, others = {}, {}
  for _, claim in ipairs(claims) do
    if claim.verdict ~= 'done' then
      others[#others + 1] = claim
    else
      local text = job_of(claim, mine, run, lease_id)
      results[claim.number] = text and 1 or 0
      if text then
        claim.stage = select(2, item.head(text))
        done[#done + 1] = claim
        mine[claim.entry] = nil -- the same claim named twice counts once
      end
    end
  end
  if #done > 0 then settle_done(target, run, done) end
  for _, claim in ipairs(others) do
    results[claim.number] = settle_other(claim, mine)
    mine[claim.entry] = nil
  end
  queue.advance(target)
  queue.feed(target)
end
return results
