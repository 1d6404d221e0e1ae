-- Listeners: runs that do not end by themselves. Each event of the names that one listens to becomes a job of it, in the script
-- that publishes the event: so there is the job if and only if there is the event.
-- A listener has a target of its own, and publishes nothing. It is among neither the live runs nor those that are over.
-- Nobody may be there to work for it. So it is given up a retention after somebody last asked for it, and of more jobs than the
-- event log holds the oldest are dropped, and counted (`missed`).

function queue.unlisten(run)
  local by_name = call('HGETALL', key.listeners)
  for i = 1, #by_name, 2 do
    local others = {}
    for other in string.gmatch(by_name[i + 1], '%S+') do
      if other ~= run then others[#others + 1] = other end
    end
    if #others == 0 then
      call('HDEL', key.listeners, by_name[i])
    else
      call('HSET', key.listeners, by_name[i], table.concat(others, ' '))
    end
  end
end

-- From now on the run listens to events of these names, and no others.
function queue.listen(run, names)
  queue.unlisten(run)
  for _, name in ipairs(names) do
    local others = call('HGET', key.listeners, name)
    call('HSET', key.listeners, name, others and others .. ' ' .. run or run)
  end
  call('HSET', key.run(run), 'listens_until', now + settings.retention)
end

-- An event of this name becomes a job of all who listen to it.
function queue.tell(name, seq, event)
  local runs = call('HGET', key.listeners, name)
  if not runs then return end
  local job = item.text({ id = seq, stage = 1, kind = 'event', attempts = 0, crashes = 0, payload = event })
  for run in string.gmatch(runs, '%S+') do
    local target, listens_until = unpack(call('HMGET', key.run(run), 'target', 'listens_until'))
    if not target then
      queue.unlisten(run)
    elseif now > tonumber(listens_until) then
      queue.finish(target, run, 'cancelled', true)
    else
      local backlog = key.backlog(run, 1)
      if call('LLEN', backlog) >= settings.event_log then
        call('LPOP', backlog)
        call('HINCRBY', key.run(run), 'missed', 1)
      end
      call('RPUSH', backlog, job)
      queue.feed(target)
    end
  end
end
