-- settle: claims end, many in one call. For each: the job leaves its place, and everything that follows from it happens here.
-- ARGV[3]: consumer, groups: [{target, run, lease, stage, first, last, done: [entry, job, entry, job...], more: [[place, more]],
--          others: [[entry, job, verdict, more]]}], at most 128 claims
--   stage: of all its jobs; first and last: the entries between which they lie
--   done: nearly all of them, so it is flat and the entries are not read: both together were half of this script's time. `more` is of those
--         that leave something behind (place: 1 is the first of done): counters [[name, by]], notes [bytes],
--         event [name, JSON fragment], fence (of an open job), wrote, pressure (the target was slow: the window shrinks)
--   verdict delay: more.after (ms), error  the attempt failed and counts
--           back:  more.after (ms), error  nothing counts
--           throttled: more.after (ms), error  nothing counts, the window shrinks, nothing is handed out before that time
--           bury:  more.error              an open or close job ends the run instead
--           split: more.jobs [job text]    these take its place, at the front
--           fence_lost: more.holder
--           fail:  more.error              ends the run
--           bury_raw: more.error           an entry that is no job
-- Result: for each claim, in the order of the groups, of a group `done` first, 1, or 0 when it was lost (I3).
-- Never touches a claim whose run, lease, entry and consumer are not exactly those named; an entry under a lease is one job. allow-oom: it shrinks.

local FENCES_LOST_IN_A_ROW = 5

-- From this many claims on, one look at all between the first and the last is cheaper than one at each; no more than a window lies there.
local MANY = 8

-- What this consumer has claimed among a group's entries, as a set; and whether up to the last of them nobody has claimed
-- more than as many: then, if all of the group stand, these are all there are.
local function claims_of(group)
  local stream, claimed, ours, all = key.stream(group.target), {}, 0, 0
  if call('EXISTS', stream) == 0 then return claimed, false end
  local function look(first, last)
    for _, pending in ipairs(call('XPENDING', stream, GROUP, first, last, PIECE)) do
      all = all + 1
      if pending[2] == args.consumer then claimed[pending[1]], ours = true, ours + 1 end
    end
  end
  local count = #group.done / 2 + #group.others
  if count >= MANY then
    look(group.first, group.last)
    local oldest = all == count and ours == count and call('XPENDING', stream, GROUP, '-', '+', 1)[1]
    return claimed, oldest and oldest[1] == group.first
  end
  for i = 1, #group.done, 2 do look(group.done[i], group.done[i]) end
  for _, claim in ipairs(group.others) do look(claim[1], claim[1]) end
  return claimed, false
end

-- The job text of an entry, or nil.
local function text_of(target, entry)
  local found = call('XRANGE', key.stream(target), entry, entry)[1]
  return found and item.of(found)
end

-- The stage of a job if it is the one that a claim names, or nil.
local function stage_of(text, job)
  if not text then return nil end
  local id, stage = item.head(text)
  return id == job and stage or nil
end

local function still_holds(group)
  local run, lease_id = unpack(call('HMGET', key.lease(group.target), 'run', 'id'))
  return group.run == run and group.lease == lease_id
end

-- What jobs leave behind: `left` is [entry, more] of those that do. Answers the entries that met pressure, as a set.
local function leave(target, run, opened, left)
  local counters, notes, pressed, fence, wrote = {}, {}, {}, '', false
  for _, one in ipairs(left) do
    local entry, more = one[1], one[2]
    for _, counter in ipairs(more.counters or {}) do counters[counter[1]] = (counters[counter[1]] or 0) + counter[2] end
    for _, note in ipairs(more.notes or {}) do notes[#notes + 1] = note end
    fence, wrote = more.fence or fence, wrote or more.wrote
    pressed[entry] = more.pressure
  end
  for name, by in pairs(counters) do call('HINCRBY', key.counts(run), name, by) end
  if #notes > 0 then
    local total = call('HINCRBY', key.run(run), 'notes_total', #notes)
    local room = settings.notes - (total - #notes)
    if room > 0 then queue.in_pieces('RPUSH', key.notes(run), { unpack(notes, 1, math.min(room, #notes)) }) end
  end
  if opened then
    call('HSET', key.lease(target), 'opened', 1, 'fence', fence)
  elseif wrote then
    call('HSET', key.run(run), 'fence_losses', 0)
  end
  for _, one in ipairs(left) do
    local event = one[2].event
    if event then queue.publish(run, event[1], event[2]) end
  end
  return pressed
end

local results = {}

-- All that is done of a group at once.
local function settle_done(group, claimed, are_oldest)
  local holds, before = still_holds(group), #results
  local entries, jobs = {}, {}
  for i = 1, #group.done, 2 do
    local entry = group.done[i]
    local stands = holds and claimed[entry]
    results[#results + 1] = stands and 1 or 0
    if stands then
      entries[#entries + 1], jobs[#jobs + 1] = entry, group.done[i + 1]
      claimed[entry] = nil -- the same claim named twice counts once
    end
  end
  if #entries == 0 then return end

  local target, run = group.target, group.run
  if are_oldest and 2 * #entries == #group.done and #group.others == 0 then
    queue.remove_oldest(target, entries, group.last)
  else
    queue.remove(target, entries)
  end
  call('HINCRBY', key.run(run), 'done.' .. group.stage, #entries)
  if group.stage == 0 then
    call('HSET', key.run(run), 'updated', now, 'open_is_out', 0, 'touched', 1)
  else
    call('HSET', key.run(run), 'updated', now, 'owed_job', 0) -- line.lua
  end
  queue.forget(run, jobs)
  local left = {}
  for _, told in ipairs(group.more) do
    local place, more = told[1], told[2]
    if results[before + place] == 1 then left[#left + 1] = { group.done[2 * place - 1], more } end
  end
  local pressed = leave(target, run, group.stage == 0, left)

  for entry in pairs(pressed) do queue.ease(target, entry, 0) end
  queue.rise(target, entries, pressed)
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
  queue.ease(target, entry, more.after)
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

local function settle_other(group, claim, claimed)
  local target, run, entry, job, verdict, more = group.target, group.run, unpack(claim)
  local text = claimed[entry] and text_of(target, entry)
  claimed[entry] = nil
  if verdict == 'bury_raw' then
    if not text then return 0 end
    local raw = call('XRANGE', key.stream(target), entry, entry)[1]
    if raw then queue.bury_raw(target, raw, more.error) end
    queue.remove(target, { entry })
    return 1
  end
  -- Asked anew for each: the one before may have ended the run or voided the lease.
  if not still_holds(group) or not stage_of(text, job) then return 0 end
  -- Gone when the one before ended the run, which keeps its lease while it closes.
  if queue.remove(target, { entry }) == 0 then return 0 end
  job = item.parse(text)
  if job.stage == 0 then call('HSET', key.run(run), 'touched', 1) end
  verdicts[verdict](target, run, job, more, entry)
  return 1
end

for _, group in ipairs(args.groups) do
  local claimed, are_oldest = claims_of(group)
  settle_done(group, claimed, are_oldest)
  for _, claim in ipairs(group.others) do results[#results + 1] = settle_other(group, claim, claimed) end
end
-- Only now: what follows may take the target away from its run, and with it the claims of a later group.
local followed = {}
for _, group in ipairs(args.groups) do
  if not followed[group.target] then
    followed[group.target] = true
    queue.advance(group.target)
    queue.feed(group.target)
  end
end
return results
