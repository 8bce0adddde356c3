-- Its body. It comes once, with the last part of Kong's own body, which it replaces.
local id = kong.ctx.plugin.problem_of
if not id or not kong.response.get_raw_body() then
  return
end
local status = kong.response.get_status()
local known = {
  [400] = { "INVALID_ARGUMENT", "Invalid request", "The gateway can't read this request." },
  [401] = { "UNAUTHENTICATED", "Not authenticated", "The gateway knows no caller with these credentials." },
  [403] = { "PERMISSION_DENIED", "Not allowed", "The gateway does not let this caller pass." },
  [404] = { "NOT_FOUND", "Not found", "The gateway has no route for this method and path." },
  [413] = { "RESOURCE_EXHAUSTED", "Too much at once", "The body is longer than the gateway accepts." },
  [414] = { "INVALID_ARGUMENT", "Invalid request", "The address is longer than the gateway accepts." },
  [417] = { "INVALID_ARGUMENT", "Invalid request", "The body that is announced is longer than the gateway accepts." },
  [429] = { "RESOURCE_EXHAUSTED", "Too much at once", "The gateway has counted too many calls of this caller: see Retry-After." },
  [502] = { "UNAVAILABLE", "Unavailable at the moment", "The gateway got no answer: the connection broke." },
  [503] = { "UNAVAILABLE", "Unavailable at the moment", "The gateway knows no process that is ready." },
  [504] = { "DEADLINE_EXCEEDED", "Took too long", "The gateway got no answer in time." },
}
local of = known[status] or (status < 500 and known[400] or { "INTERNAL", "Internal error", "The gateway failed." })
kong.response.set_raw_body(string.format(
  '{"type":"urn:caudal:reason:GATEWAY","title":"%s","status":%d,"detail":"%s",'
    .. '"instance":"urn:caudal:request:%s","code":"%s","reason":"GATEWAY"}',
  of[2], status, of[3], id, of[1]))
