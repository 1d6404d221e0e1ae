-- What every script is called with.
-- ARGV[1]: settings (MessagePack map), ARGV[2]: random hex, ARGV[3]: the script's own arguments (MessagePack map),
-- ARGV[4]: what the time should be by the caller's own clock (clock.lua), or ''.

local settings = cmsgpack.unpack(ARGV[1])
local random = ARGV[2]
local args = cmsgpack.unpack(ARGV[3])

local call = redis.call

-- The functions that several transitions share, one file each.
local queue = {}

-- Lua hands at most 8,000 values to one call; all long calls go in pieces of this size.
local PIECE = 500

-- Calls COMMAND KEY value... for a list of any length.
function queue.in_pieces(command, name, values)
  for first = 1, #values, PIECE do
    call(command, name, unpack(values, first, math.min(first + PIECE - 1, #values)))
  end
end

-- A hash as Redis answers it (name, value, name, value) as a table.
function queue.as_table(flat)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end
