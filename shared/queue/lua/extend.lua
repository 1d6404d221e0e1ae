-- extend: signs of life for claims (heartbeat).
-- ARGV[3]: consumer, claims: [[target, entry, started]]
-- Result: for each claim 1, or 0 when it is lost: taken back, settled, or another worker's.
-- A claim that has not started is marked with 0 deliveries, so that the end of its worker is not counted against it.
-- Never takes an entry from another consumer (a bare XCLAIM would).

local results, by_target = {}, {}
for i, claim in ipairs(args.claims) do
  local target = claim[1]
  by_target[target] = by_target[target] or {}
  table.insert(by_target[target], { number = i, entry = claim[2], started = claim[3] })
end

for target, claims in pairs(by_target) do
  local stream, mine = key.stream(target), {}
  if call('EXISTS', stream) == 1 then
    for _, pending in ipairs(call('XPENDING', stream, GROUP, '-', '+', PIECE, args.consumer)) do mine[pending[1]] = true end
  end
  local started, waiting = {}, {}
  for _, claim in ipairs(claims) do
    results[claim.number] = mine[claim.entry] and 1 or 0
    if mine[claim.entry] then table.insert(claim.started and started or waiting, claim.entry) end
  end
  for count, entries in pairs({ [0] = waiting, [1] = started }) do
    if #entries > 0 then
      table.insert(entries, 'RETRYCOUNT')
      table.insert(entries, count)
      table.insert(entries, 'JUSTID')
      call('XCLAIM', stream, GROUP, args.consumer, 0, unpack(entries))
    end
  end
end
return results
