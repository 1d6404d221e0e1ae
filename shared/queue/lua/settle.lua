-- settle: claims end, many in one call. For each: the job leaves its place, and everything that follows from it happens here.
-- ARGV[3]: consumer, groups: [{target, run, lease, first, last, claims: [[entry, job, verdict, more]]}],
--          at most 100 claims; first and last: the entries between which all of a group lie
--   verdict done:  more.counters [[name, by]], notes [bytes], event [name, JSON fragment], fence (of an open job), wrote,
--                 pressure (the target was slow: the window shrinks)
--           delay: more.after (ms), error  the attempt failed and counts
--           back:  more.after (ms), error  nothing counts
--           throttled: more.after (ms), error  nothing counts, the window shrinks, nothing is handed out before that time
--           bury:  more.error              an open or close job ends the run instead
--           split: more.jobs [job text]    these take its place, at the front
--           fence_lost: more.holder
--           fail:  more.error              ends the run
--           bury_raw: more.error           an entry that is no job
-- Result: for each claim, in the order of the groups, 1, or 0 when it was lost (I3).
-- Never touches a claim whose run, lease, entry, job and consumer are not exactly those named. allow-oom: it shrinks.

local FENCES_LOST_IN_A_ROW = 5

-- From this many claims on, one look at all between the first and the last is cheaper than one at each; no more than a window lies there.
local MANY = 8

-- What this consumer has claimed: by entry, the job text.
local function claims_of(group)
  local stream, claimed, texts = key.stream(group.target), {}, {}
  if call('EXISTS', stream) == 0 then return texts end
  local entries
  if #group.claims >= MANY then
    for _, pending in ipairs(call('XPENDING', stream, GROUP, group.first, group.last, PIECE, args.consumer)) do claimed[pending[1]] = true end
    entries = call('XRANGE', stream, group.first, group.last)
  else
    entries = {}
    for _, claim in ipairs(group.claims) do
      claimed[claim[1]] = #call('XPENDING', stream, GROUP, claim[1], claim[1], 1, args.consumer) > 0
      entries[#entries + 1] = call('XRANGE', stream, claim[1], claim[1])[1]
    end
  end
  for _, entry in ipairs(entries) do
    if claimed[entry[1]] then texts[entry[1]] = queue.field(entry, 'job') or '' end
  end
  return texts
end

-- The stage of the job if the claim as named is one this consumer has, of the run that holds the target, under its lease,
-- for this job; or nil.
local function stands(group, claim, texts, run, lease_id)
  local text = texts[claim.entry]
  if not text or group.run ~= run or group.lease ~= lease_id then return nil end
  local job, stage = item.head(text)
  return job == claim.job and stage or nil
end

-- What the ends of jobs say of the window.
local function adapt(target, done)
  local most, calm = tonumber(call('HGET', key.lease(target), 'window')), {}
  for _, claim in ipairs(done) do
    if claim.more and claim.more.pressure then
      queue.ease(target, most, claim.entry, 0)
    else
      calm[#calm + 1] = claim.entry
    end
  end
  queue.rise(target, most, calm)
end

-- All `done` of one run at once.
local function settle_done(target, run, done)
  local ids, jobs, stages, counters, notes = {}, {}, {}, {}, {}
  for _, claim in ipairs(done) do
    ids[#ids + 1] = claim.entry
    jobs[#jobs + 1] = claim.job
    stages[claim.stage] = (stages[claim.stage] or 0) + 1
    local more = claim.more
    if more and more.counters then
      for _, counter in ipairs(more.counters) do counters[counter[1]] = (counters[counter[1]] or 0) + counter[2] end
    end
    if more and more.notes then
      for _, note in ipairs(more.notes) do notes[#notes + 1] = note end
    end
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
  if stages[0] == nil then call('HSET', key.run(run), 'owed_job', 0) end -- line.lua

  queue.forget(run, jobs)
  for _, claim in ipairs(done) do
    local more = claim.more or {}
    if claim.stage == 0 then
      call('HSET', key.lease(target), 'opened', 1, 'fence', more.fence or '')
      call('HSET', key.run(run), 'open_is_out', 0, 'touched', 1)
    elseif more.wrote then
      call('HSET', key.run(run), 'fence_losses', 0)
    end
    if more.event then queue.publish(run, more.event[1], more.event[2]) end
  end
  adapt(target, done)
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

function verdicts.delay(target, run, job, more)
  job.attempts = job.attempts + 1
  call('ZADD', key.delayed(run), now + more.after, item.text(job))
  queue.tried(run, job.id, now, more.error)
  call('HSET', key.run(run), 'last_error', more.error)
end

function verdicts.back(target, run, job, more)
  if more.after > 0 then
    call('ZADD', key.delayed(run), now + more.after, item.text(job))
    call('HSET', key.run(run), 'last_error', more.error)
  else
    call('LPUSH', key.backlog(run, job.stage), item.text(job))
  end
end

function verdicts.throttled(target, run, job, more, entry)
  verdicts.back(target, run, job, more)
  queue.ease(target, tonumber(call('HGET', key.lease(target), 'window')), entry, more.after)
end

function verdicts.bury(target, run, job, more)
  local stages = tonumber(call('HGET', key.run(run), 'stages'))
  if job.stage == 0 or job.stage == stages + 1 then return verdicts.fail(target, run, job, more) end
  queue.bury(run, job, more.error)
end

function verdicts.split(target, run, job, more)
  queue.forget(run, { job.id })
  local jobs = more and more.jobs or {} -- none at all: nothing of it is left to do
  for i = #jobs, 1, -1 do call('LPUSH', key.backlog(run, job.stage), jobs[i]) end
end

function verdicts.fence_lost(target, run, job, more)
  -- Of a run that is ending, that is as good as closed.
  local state, ending_as = unpack(call('HMGET', key.run(run), 'state', 'ending_as'))
  if state == 'ending' then return queue.finish(target, run, ending_as, true) end
  call('LPUSH', key.backlog(run, job.stage), item.text(job))
  local losses = call('HINCRBY', key.run(run), 'fence_losses', 1)
  if losses >= FENCES_LOST_IN_A_ROW then
    local words = string.format('the target was taken away %d times in a row before anything was written; %s holds it', losses, more.holder)
    return queue.end_early(target, run, 'failed', 'error', words)
  end
  queue.grant_anew(target, run)
end

function verdicts.fail(target, run, job, more)
  queue.bury(run, job, more.error)
  fail(target, run, job, more.error)
end

local function settle_other(group, claim, texts)
  local target, text = group.target, texts[claim.entry]
  if claim.verdict == 'bury_raw' then
    if not text then return 0 end
    local entry = call('XRANGE', key.stream(target), claim.entry, claim.entry)[1]
    if entry then queue.bury_raw(target, entry, claim.more.error) end
    queue.remove(target, { claim.entry })
    return 1
  end
  -- Asked anew for each: the one before may have ended the run or voided the lease.
  local run, lease_id = unpack(call('HMGET', key.lease(target), 'run', 'id'))
  if not stands(group, claim, texts, run, lease_id) then return 0 end
  local job = item.parse(text)
  -- Gone when the one before ended the run, which keeps its lease while it closes.
  if queue.remove(target, { claim.entry }) == 0 then return 0 end
  if job.stage == 0 then call('HSET', key.run(run), 'touched', 1) end
  verdicts[claim.verdict](target, run, job, claim.more, claim.entry)
  return 1
end

local results = {}
local function settle_group(group)
  local target, offset = group.target, #results
  local run, lease_id = unpack(call('HMGET', key.lease(target), 'run', 'id'))
  local texts = claims_of(group)
  local done, others = {}, {}
  for number, named in ipairs(group.claims) do
    local claim = { entry = named[1], job = named[2], verdict = named[3], more = named[4], number = offset + number }
    results[claim.number] = 0
    if claim.verdict == 'done' then claim.stage = stands(group, claim, texts, run, lease_id) end
    if claim.verdict ~= 'done' then
      others[#others + 1] = claim
    elseif claim.stage then
      results[claim.number] = 1
      done[#done + 1] = claim
      texts[claim.entry] = nil -- the same claim named twice counts once
    end
  end
  if #done > 0 then settle_done(target, run, done) end
  for _, claim in ipairs(others) do
    results[claim.number] = settle_other(group, claim, texts)
    texts[claim.entry] = nil
  end
  queue.advance(target)
  queue.feed(target)
end

for _, group in ipairs(args.groups) do settle_group(group) end
return results
