-- A job as it lies in a backlog, among the delayed, and in a stream entry:
--   id \n stage \n kind \n attempts \n crashes \n payload
-- Stage 0 is the run's open job, 1..n are the producer's stages, n + 1 is its close job. src/item.rs is the twin.
--
-- A stream entry has one field: its name is the turn in which the job is handed out (run \n lease \n fence), its value the job.
-- Redis keeps a name that one entry after the other has only once. A second field, `cursor`, says how far the job had split.
-- src/claim.rs reads it.

local item = {}

-- id, stage; enough for most, and cheaper than the whole. nil when this is not a job.
function item.head(text)
  local id, stage = string.match(text, '^([^\n]+)\n(%d+)\n')
  return id, tonumber(stage)
end

-- The job text of an entry as XRANGE answers it; if it is one, item.parse tells.
function item.of(entry) return entry[2][2] end

-- The run of such an entry; nil when it is none of ours.
function item.run_of(entry) return string.match(entry[2][1], '^([^\n]+)\n[^\n]+\n') end

function item.parse(text)
  local id, stage, kind, attempts, crashes, start =
    string.match(text, '^([^\n]+)\n(%d+)\n([^\n]*)\n(%d+)\n(%d+)\n()')
  if not id then return nil end
  return {
    id = id, stage = tonumber(stage), kind = kind,
    attempts = tonumber(attempts), crashes = tonumber(crashes), payload = string.sub(text, start),
  }
end

function item.text(job)
  return table.concat({ job.id, job.stage, job.kind, job.attempts, job.crashes, job.payload }, '\n')
end
