-- audit: copies of entries that somebody keeps elsewhere, for whoever shows them. The oldest give way.
-- ARGV[3]: source, entries: [[number, text]], in their order; keep
-- Result: how many were new.
-- Never touches a run or a job. What was copied of a source is not copied again.

local copied = tonumber(call('HGET', key.audited, args.source) or 0)
local new = {}
for _, entry in ipairs(args.entries) do
  if entry[1] > copied then
    new[#new + 1] = entry[2]
    copied = entry[1]
  end
end
if #new == 0 then return 0 end
queue.in_pieces('RPUSH', key.audit, new)
for _ = args.keep + 1, call('LLEN', key.audit) do call('LPOP', key.audit) end
call('HSET', key.audited, args.source, copied)
return #new
