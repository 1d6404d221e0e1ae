-- leave: a worker that stopped in good order is no longer counted as alive.
-- ARGV[3]: consumer, targets
-- Never touches its claims; it has settled or returned them before.

call('DEL', key.worker(args.consumer))
call('ZREM', key.workers, args.consumer)
for _, target in ipairs(args.targets) do
  local stream = key.stream(target)
  -- Deleting a consumer drops its pending entries for ever, so only one that has none.
  if call('EXISTS', stream) == 1 and #call('XPENDING', stream, GROUP, '-', '+', 1, args.consumer) == 0 then
    call('XGROUP', 'DELCONSUMER', stream, GROUP, args.consumer)
  end
end
return 1
