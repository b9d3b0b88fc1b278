-- Sends the requests of a file in their order, one `path<TAB>token` a line, and prints what it
-- measured as one line of JSON. Arguments: the file, how many requests a second all connections
-- send together (0: as many as they can), and `random` for random moments in place of even ones.

local ffi = require("ffi")
ffi.cdef("typedef struct { long s, ns; } moment; int clock_gettime(int clock, moment *found);")
local MONOTONIC, clock = 1, ffi.new("moment")
local lines, at = {}, 0

local function now_ms()
  ffi.C.clock_gettime(MONOTONIC, clock)
  return tonumber(clock.s) * 1e3 + tonumber(clock.ns) / 1e6
end

function init(args)
  for line in io.lines(args[1]) do
    local path, token = line:match("^([^\t]*)\t?(.*)$")
    lines[#lines + 1] = { path, token }
  end
  local step_ms, due = 1000 / tonumber(args[2]), now_ms()
  math.randomseed(due)
  if step_ms < math.huge then
    -- What wrk waits before a request. Its own clock has whole milliseconds. What is late is
    -- sent at once, and its time counts from then.
    delay = function()
      local step = args[3] == "random" and -math.log(1 - math.random()) * step_ms or step_ms
      due = due + step
      return math.max(0, due - now_ms())
    end
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
