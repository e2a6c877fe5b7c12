-- Sixteen requests at once, for wrk.
local requests
init = function()
  requests = string.rep(wrk.format("GET"), 16)
end
request = function()
  return requests
end
