-- A job as it lies in a backlog, among the delayed, and in the field `job` of a stream entry:
--   id \n stage \n kind \n attempts \n crashes \n payload
-- Stage 0 is the run's open job, 1..n are the producer's stages, n + 1 is its close job. src/item.rs is the twin.

local item = {}

-- id, stage; enough for most, and cheaper than the whole. nil when this is not a job.
function item.head(text)
  local id, stage = string.match(text, '^([^\n]+)\n(%d+)\n')
  return id, tonumber(stage)
end

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
