-- log: lines of logs, for the deployment and for the run that each is about. The oldest give way.
-- ARGV[3]: lines: [[run or '', text]], in their order; of_run, of_all: how many are kept
-- Result: nothing.
-- Never touches a run or a job, and asks for none: lines come before a run is submitted and after it has ended. What
-- nobody adds to for a retention is gone.

local function add(name, texts, kept)
  queue.in_pieces('RPUSH', name, texts)
  local over = call('LLEN', name) - kept
  if over > 0 then call('LPOP', name, over) end
  call('PEXPIRE', name, settings.retention)
end

local all, of = {}, {}
for _, line in ipairs(args.lines) do
  local run, text = line[1], line[2]
  all[#all + 1] = text
  if run ~= '' then
    of[run] = of[run] or {}
    table.insert(of[run], text)
  end
end
if #all == 0 then return end
add(key.log, all, args.of_all)
for run, texts in pairs(of) do add(key.run_log(run), texts, args.of_run) end
