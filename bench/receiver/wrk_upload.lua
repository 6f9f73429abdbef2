-- The requests of one run, for wrk. Comes in: the path of a Lua file that returns
-- { tag = TEXT, bodies = { BYTES, ... }, corpus = PATH, heads = { { BEFORE, AFTER }, ... } }.
-- Request n is the bytes BEFORE .. NAME .. AFTER, the body's length, and the body, where NAME is never
-- the same twice. Goes out, last: one line `wrk: ` and JSON.

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  local load = dofile(args[1])
  tag, heads, bodies = load.tag .. "-" .. number .. "-", load.heads, {}
  local file = assert(io.open(load.corpus, "rb"))
  for i, bytes in ipairs(load.bodies) do bodies[i] = file:read(bytes) end
  file:close()
  -- Threads begin at different places, or they would send the same bodies at the same time.
  count = (number - 1) * math.floor(#heads / 2)
end

function request()
  count = count + 1
  local head, body = heads[count % #heads + 1], bodies[count % #bodies + 1]
  return head[1] .. tag .. count .. head[2] .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'wrk: {"requests":%d,"micros":%d,"statuses":%d,"broken":%d,"timeouts":%d,"p50Us":%d,"p99Us":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write, errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
