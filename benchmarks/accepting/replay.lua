-- Sends what a file holds, request after request, and says at the end how it went. REQUESTS names the file,
-- REQUEST_BYTES how long each one is. Needs a single thread, so that no request is sent twice.

local file = assert(io.open(os.getenv("REQUESTS"), "rb"))
local length = tonumber(os.getenv("REQUEST_BYTES"))
local last
exhausted = 0

function setup(thread)
  only = thread
end

function request()
  local following = file:read(length)
  if following then
    last = following
  else
    exhausted = exhausted + 1
  end
  return last
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "microseconds": %d, "p50_ms": %.3f, "p99_ms": %.3f, "refused": %d, "broken": %d, "exhausted": %d}\n',
    summary.requests, summary.duration, latency:percentile(50) / 1000, latency:percentile(99) / 1000, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, only:get("exhausted")))
end
