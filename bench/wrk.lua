-- Sends the requests of a file in their order, one `path<TAB>token` a line, and prints what it
-- measured as one line of JSON. Arguments: the file, and how many requests a second each
-- connection sends at most (0: as many as it can).

local lines, at, pause = {}, 0, 0

function init(args)
  for line in io.lines(args[1]) do
    local path, token = line:match("^([^\t]*)\t?(.*)$")
    lines[#lines + 1] = { path, token }
  end
  pause = tonumber(args[2] or "0")
  if pause > 0 then
    -- Between 0 and twice the mean, so that connections do not march in step.
    delay = function() return math.random() * 2000 / pause end
  end
end

function request()
  at = at % #lines + 1
  local path, token = lines[at][1], lines[at][2]
  if token == "" then
    return wrk.format("GET", path)
  end
  local headers = { Authorization = "Bearer " .. token }
  for name, value in pairs(wrk.headers) do headers[name] = value end
  return wrk.format("GET", path, headers)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
