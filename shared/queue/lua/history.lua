-- history: which runs there are, the live ones and then those that are over, newest first, a page at a time.
-- ARGV[3]: after (the last run of the page before; optional), target, states, labels ([[name, text], ...]), since, until (all optional), limit
-- Result (MessagePack): [ids, next]; next: where the next page begins, '' when there is none
-- One call looks at no more than LOOK runs, so a page may be shorter than the limit while there are more.
-- Never writes.

local LOOK = 2000

local states
if args.states then
  states = {}
  for _, state in ipairs(args.states) do states[state] = true end
end

local ids, looked, last = {}, 0, ''
local function has_labels(fragment)
  if not args.labels then return true end
  local labels = cjson.decode('{' .. fragment .. '}')
  for _, wanted in ipairs(args.labels) do
    local label = labels[wanted[1]]
    if type(label) ~= 'string' or not label:lower():find(wanted[2]:lower(), 1, true) then return false end
  end
  return true
end

local function is_wanted(run)
  local target, state, created, labels = unpack(call('HMGET', key.run(run), 'target', 'state', 'created', 'labels'))
  return target and (not args.target or target == args.target) and (not states or states[state])
    and (not args.since or tonumber(created) >= args.since) and (not args['until'] or tonumber(created) < args['until'])
    and has_labels(labels)
end

-- Whether the page is full.
local function look_at(list, first)
  while true do
    local runs = call('ZREVRANGE', list, first, first + PIECE - 1)
    if #runs == 0 then return false end
    for _, run in ipairs(runs) do
      if #ids >= args.limit or looked >= LOOK then return true end
      if is_wanted(run) then ids[#ids + 1] = run end
      looked, last = looked + 1, run
    end
    first = first + PIECE
  end
end

-- Ranks count from the oldest.
local function behind(list, run)
  local rank = call('ZRANK', list, run)
  return rank and call('ZCARD', list) - rank
end

local in_live, in_history = 0, 0
if args.after then
  in_live = behind(key.live, args.after)
  if not in_live then in_history = behind(key.history, args.after) end
  -- It is not there any more, and all that were after it have gone before it did.
  if not in_live and not in_history then return cmsgpack.pack({ {}, '' }) end
end

local full = in_live and look_at(key.live, in_live)
if not full then full = look_at(key.history, in_history) end
return cmsgpack.pack({ ids, full and last or '' })
