-- Kong's own refusals over REST get the headers of a problem (RFC 9457). Answers of Caudal stay as they are.
local source = kong.response.get_source()
local kind = kong.request.get_header("content-type") or ""
if source == "service" or kong.response.get_status() < 400 or kind:sub(1, 16) == "application/grpc" then
  return
end
local id = kong.request.get_header("x-request-id") or ""
if #id > 128 or not id:match("^[%w_.:/-]+$") then
  id = ngx.var.request_id
end
kong.response.set_header("x-request-id", id)
kong.response.set_header("content-type", "application/problem+json")
kong.response.clear_header("content-length")
kong.ctx.plugin.problem_of = id
