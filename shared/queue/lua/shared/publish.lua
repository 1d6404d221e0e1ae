-- Events: one line of JSON to the channel and to the log that can be replayed, under the same number.

-- Milliseconds since 1970 as 2026-11-22T13:20:23.123Z (Howard Hinnant's civil_from_days).
local function iso(ms)
  local days, rest = math.floor(ms / 86400000) + 719468, ms % 86400000
  local era = math.floor(days / 146097)
  local doe = days - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local day = doy - math.floor((153 * mp + 2) / 5) + 1
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day,
    math.floor(rest / 3600000), math.floor(rest / 60000) % 60, math.floor(rest / 1000) % 60, rest % 1000)
end

-- Counters as a JSON object. Redis' own digits: cjson would round above 10^14.
local function counts_of(run)
  local flat, parts = call('HGETALL', key.counts(run)), {}
  for i = 1, #flat, 2 do parts[#parts + 1] = cjson.encode(flat[i]) .. ':' .. flat[i + 1] end
  return '{' .. table.concat(parts, ',') .. '}'
end

-- `about`: the inside of a JSON object, not empty.
local function emit(name, about)
  local seq = call('INCR', key.seq)
  local event = string.format('{"event":%s,"seq":%d,%s}', cjson.encode(name), seq, about)
  call('XADD', key.event_log, 'MAXLEN', '~', settings.event_log, seq .. '-0', 'event', event)
  call('PUBLISH', key.events, event)
  queue.tell(name, seq, event)
end

-- `more`: the inside of a JSON object, or ''. An event without a name is not published.
function queue.publish(run, name, more)
  if name == '' then return end
  local labels, state = unpack(call('HMGET', key.run(run), 'labels', 'state'))
  emit(name, string.format('"run":%s,%s,"state":"%s","counts":%s,"time":"%s"%s',
    cjson.encode(run), labels, state, counts_of(run), iso(now), more ~= '' and ',' .. more or ''))
end

-- A change of state that only some producers want to hear of.
function queue.publish_change(run, more)
  local name = call('HGET', key.run(run), 'event_changed')
  if name and name ~= '' then queue.publish(run, name, more or '') end
end
