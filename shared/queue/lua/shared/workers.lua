-- Who is alive, and what they know.

local known_sets

-- Does a live worker know all of these names (separated by spaces)?
function queue.servable(requires)
  if not known_sets then
    known_sets = {}
    for _, consumer in ipairs(call('ZRANGEBYSCORE', key.workers, '(' .. now, '+inf')) do
      local names, set = call('HGET', key.worker(consumer), 'instances'), {}
      for name in string.gmatch(names or '', '%S+') do set[name] = true end
      known_sets[#known_sets + 1] = set
    end
  end
  for _, set in ipairs(known_sets) do
    if queue.knows(set, requires) then return true end
  end
  return false
end

function queue.knows(set, requires)
  for name in string.gmatch(requires, '%S+') do
    if not set[name] then return false end
  end
  return true
end

-- Consumers of workers that were killed leave the group: nobody else deletes them. Deleting one drops its pending entries for
-- ever, so only one that has none. A worker that was only slow is made a consumer again by its next read.
function queue.forget_dead(target)
  local stream = key.stream(target)
  for _, fields in ipairs(call('XINFO', 'CONSUMERS', stream, GROUP)) do
    local of = {}
    for at = 1, #fields, 2 do of[fields[at]] = fields[at + 1] end
    if of.pending == 0 and tonumber(call('ZSCORE', key.workers, of.name) or 0) <= now then
      call('XGROUP', 'DELCONSUMER', stream, GROUP, of.name)
    end
  end
end
