-- reclaim: claims of workers that gave no sign of life for a lease go back to the front of the backlog, in one step (I1);
-- the workers themselves are forgotten.
-- ARGV[3]: targets
-- Result: how many jobs were taken back.
-- A job that had started counts a crash. Never takes a claim that was extended in time.

local taken = 0
for _, target in ipairs(args.targets) do
  local stream = key.stream(target)
  if call('EXISTS', stream) == 1 then
    local ids, crashed = queue.crashed(target)
    local entries, gone = {}, {}
    for _, id in ipairs(ids) do
      local entry = call('XRANGE', stream, id, id)[1]
      if entry then entries[#entries + 1] = entry else gone[#gone + 1] = id end
    end
    if #gone > 0 then queue.remove(target, gone) end
    if #entries > 0 then
      queue.take_back(target, entries, crashed)
      taken = taken + #entries
      queue.advance(target)
      queue.feed(target)
    end
    queue.forget_dead(target)
  end
end
return taken
