-- The names of all keys. Nothing else in these scripts puts a key together; src/keys.rs is the twin.
-- KEYS[1] is the prefix: a hash tag, so that every key of a deployment lies in the slot of KEYS[1].

local prefix = KEYS[1]

local key = {
  counter = prefix .. ':counter',     -- string: numbers leases and places in line
  clock = prefix .. ':clock',         -- hash: the time when a script last read it, and jumps of Redis' clock
  deployment = prefix .. ':deployment', -- string: random id, as old as the data
  seq = prefix .. ':seq',             -- string: number of the last event
  events = prefix .. ':events',       -- channel
  event_log = prefix .. ':event-log', -- stream, ids <seq>-0
  targets = prefix .. ':targets',     -- set: every target that ever had a run
  later = prefix .. ':later',         -- zset: what was put off, by the time it is due
  taken = prefix .. ':taken',         -- zset: what was due and is being done, by the time others are given it
  leases = prefix .. ':leases',       -- hash: how many leases of each target there were
  live = prefix .. ':live',           -- zset: runs that are not over, by time of submit
  history = prefix .. ':history',     -- zset: runs that are over, by time of their end
  audit = prefix .. ':audit',         -- list: copies of what was audited elsewhere, the oldest first
  audited = prefix .. ':audited',     -- hash: how far each source was copied
  log = prefix .. ':log',             -- list: lines of logs, the oldest first
  listeners = prefix .. ':listeners', -- hash: by the name of an event, the runs that listen to it
  last = prefix .. ':last',           -- hash: of each target the run that ended last
  workers = prefix .. ':workers',     -- zset: consumers, by the time their announcement expires
}

function key.kept(name) return prefix .. ':kept:' .. name end                           -- hash: a small value, for a while

function key.worker(consumer) return prefix .. ':worker:' .. consumer end             -- hash

function key.stream(target) return prefix .. ':target:' .. target .. ':jobs' end      -- stream: jobs handed out now
function key.lease(target) return prefix .. ':target:' .. target .. ':lease' end      -- hash: who holds the target
function key.pace(target) return prefix .. ':target:' .. target .. ':pace' end        -- hash: the window it bears
function key.ration(target) return prefix .. ':target:' .. target .. ':ration' end    -- hash: until when its rate is used up
function key.waiting(target) return prefix .. ':target:' .. target .. ':waiting' end  -- zset: who is next
function key.same(target) return prefix .. ':target:' .. target .. ':same' end        -- hash: what waiting runs bring, by their names for it

function key.schedule(name) return prefix .. ':schedule:' .. name end                 -- hash: what became of its ticks
function key.ticks(name) return prefix .. ':schedule:' .. name .. ':ticks' end        -- zset: ticks that had their turn, by their instants

function key.run(run) return prefix .. ':run:' .. run end                             -- hash
function key.counts(run) return prefix .. ':run:' .. run .. ':counts' end             -- hash: the handlers' counters
function key.notes(run) return prefix .. ':run:' .. run .. ':notes' end               -- list
function key.dead(run) return prefix .. ':run:' .. run .. ':dead' end                 -- list: buried jobs
function key.run_log(run) return prefix .. ':run:' .. run .. ':log' end               -- list: lines of logs about it
function key.tries(run) return prefix .. ':run:' .. run .. ':tries' end               -- hash: how open jobs failed so far
function key.cursors(run) return prefix .. ':run:' .. run .. ':cursors' end           -- hash: how far splitting jobs are
function key.delayed(run) return prefix .. ':run:' .. run .. ':delayed' end           -- zset: jobs, by the time they are due
function key.backlog(run, stage) return prefix .. ':run:' .. run .. ':backlog:' .. stage end -- list: jobs not handed out

local GROUP = 'workers'
