-- Sends the requests of a file in their order, one `path<TAB>token` a line, again from the first
-- after the last, and prints what it measured as one line of JSON. Arguments: the file, and the
-- status that every answer must have.

local lines, at, threads = {}, 0, {}
local expected
wrong = 0 -- global, so that done() can ask for it

function setup(thread)
  threads[#threads + 1] = thread
end

function init(args)
  for line in io.lines(args[1]) do
    local path, token = line:match("^([^\t]*)\t?(.*)$")
    lines[#lines + 1] = { path, token }
  end
  expected = tonumber(args[2])
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

function response(status, headers)
  if status ~= expected or headers["X-Degraded"] then
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.timeout
  for _, thread in ipairs(threads) do failed = failed + thread:get("wrong") end
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
