-- Ticks of schedules: what is planned for an instant happens once, whoever of those who watch the clock comes first.
--
-- Of a schedule there is: handled (the instant up to which it is known what became of its ticks), expression (what the instants
-- follow from), run (the last one), last and missed (JSON: what became of the last tick, and of the last that was missed), missed_total.
-- A tick comes with what `handled` was when its caller looked (after): of two who decide about one tick the second changes nothing.
-- Instants are by the callers' clocks, which may be ahead and go back: then ticks come again that had their turn. So they are also kept one by one.

-- So many; the oldest go.
local TICKS_KEPT = 10000

-- An entry of the list of ticks: 'instant:run', or 'instant:' of one that was skipped.
local function tick_at(tick)
  return call('ZRANGEBYSCORE', key.ticks(tick.schedule), tick.planned, tick.planned)[1]
end

-- Why nothing is to be done about a tick (any more), or nil: {same = its run}, {handled}.
function queue.tick_handled(tick)
  if tick.planned == 0 then return nil end -- by hand
  local kept = tick_at(tick)
  if kept then
    local run = string.match(kept, ':(.+)$')
    return run and { same = run } or { handled = true }
  end
  local handled = call('HGET', key.schedule(tick.schedule), 'handled')
  if handled and tonumber(handled) ~= tick.after then return { handled = true } end
end

-- outcome: what is kept about it, beside the tick and the time.
local function handle(tick, outcome, field)
  outcome.at, outcome.tick = now, tick.planned ~= 0 and tick.planned or nil
  call('HSET', key.schedule(tick.schedule), field, cjson.encode(outcome))
  if tick.planned ~= 0 then call('HSET', key.schedule(tick.schedule), 'handled', tick.planned) end
end

local function keep_tick(tick, run)
  local ticks = key.ticks(tick.schedule)
  call('ZADD', ticks, tick.planned, string.format('%d:%s', tick.planned, run))
  if call('ZCARD', ticks) > TICKS_KEPT then call('ZREM', ticks, call('ZRANGE', ticks, 0, 0)[1]) end
end

-- This run is what the tick was for.
function queue.tick_fired(tick, run)
  handle(tick, { outcome = 'run', run = run }, 'last')
  call('HSET', key.schedule(tick.schedule), 'run', run)
  if tick.planned ~= 0 then keep_tick(tick, run) end
end

-- The run before, `run`, is not over: this one is left out.
function queue.tick_skipped(tick, run)
  handle(tick, { outcome = 'skipped', run = run }, 'last')
  keep_tick(tick, '')
end

-- Nobody fired this tick and `count - 1` before it. Should their time come again, they may be fired.
function queue.tick_missed(tick, count, why)
  local outcome = { outcome = 'missed', count = count, why = why }
  handle(tick, outcome, 'last')
  handle(tick, outcome, 'missed')
  call('HINCRBY', key.schedule(tick.schedule), 'missed_total', count)
end
