-- Announces of 100,000 peers in as many torrents as the file HASHES names, over connections that are kept or not (CONNECTION).
local hashes = {}
for line in io.lines(os.getenv("HASHES")) do
  hashes[#hashes + 1] = (line:gsub("..", function(byte) return "%" .. byte end))
end
local connection = os.getenv("CONNECTION")
local form = "GET /announce?info_hash=%s&peer_id=-XX0000-%012d&port=%d&uploaded=0&downloaded=0&left=%d&compact=1&numwant=50"
  .. " HTTP/1.1\r\nHost: tracker\r\nConnection: %s\r\n\r\n"
-- Every run begins at another peer, so that short runs together announce all of them.
local count = tonumber(os.getenv("FIRST"))

function request()
  count = count + 1
  local peer = count % 100000
  return form:format(hashes[peer % #hashes + 1], peer, 1024 + math.floor(peer / #hashes), peer % 2, connection)
end
