-- The time, for all scripts: that of Redis, but it never goes back, and jumps are noticed.
--
-- When Redis' clock is set back, `now` goes on from where it was, somewhat slower until Redis' clock has caught up. So what
-- waits for a time (delayed jobs, leases, rests) waits no longer than it was to.
-- How long a worker was silent shows in its claims, by Redis' own clock. A jump makes that worthless: forward, everybody
-- seems silent for as long; back, nobody does. So jumps are numbered, and when there was one, each target's claims and
-- lease begin anew (take.lua): live workers show in time that they live, dead ones lose their claims a lease later.
-- A jump forward looks like time in which nobody called. Workers know better: they remember what time a tick told them,
-- and how long ago that was by their own clock.

-- How much of the time that passes counts while Redis' clock is behind.
local BEHIND = 7 / 8
-- Milliseconds. What is less does no harm to any claim, or is no jump but an answer that took long.
local JUMP_BACK, JUMP_FORWARD = 1000, math.max(5000, settings.lease / 2)

local now, jumps -- milliseconds; how many jumps there were
do
  local time = call('TIME')
  local read = time[1] * 1000 + time[2] / 1000
  local read_before, before, jumps_before = unpack(call('HMGET', key.clock, 'read', 'now', 'jumps'))
  local exact = read
  jumps = tonumber(jumps_before or 0)
  if read_before then
    local passed = read - read_before
    exact = math.max(read, before + math.max(passed, 0) * BEHIND)
    local expected = tonumber(ARGV[4])
    if passed < -JUMP_BACK or expected and exact - expected > JUMP_FORWARD then jumps = jumps + 1 end
  end
  now = math.floor(exact)
  if not READS_ONLY then call('HSET', key.clock, 'read', read, 'now', exact, 'jumps', jumps) end
end
