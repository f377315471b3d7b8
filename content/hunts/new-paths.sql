-- name: new-paths
-- title: New paths this week
-- description: HTTP paths that nobody had ever asked for before a moment, by how many addresses ask for them now. What many
--   strangers suddenly want is often an exploit that is days old.
-- param: since =   the moment; default: seven days ago
-- case: since=2026-11-19
-- given: {"kind":"http","time":"2026-11-10T07:00:00Z","remote":"192.0.2.1:4000","http":{"method":"GET","target":"/","proto":"HTTP/1.1","status":200}}
-- given: {"kind":"http","time":"2026-11-20T07:00:00Z","remote":"192.0.2.2:4000","http":{"method":"GET","target":"/","proto":"HTTP/1.1","status":200}}
-- given: {"kind":"http","time":"2026-11-20T07:00:00Z","remote":"192.0.2.2:4000","http":{"method":"POST","target":"/new?x=1","proto":"HTTP/1.1","status":404}}
-- given: {"kind":"http","time":"2026-11-20T07:00:01Z","remote":"192.0.2.3:4000","http":{"method":"POST","target":"/new?x=2","proto":"HTTP/1.1","status":404}}
-- given: {"kind":"http","time":"2026-11-20T07:00:02Z","remote":"192.0.2.3:4000","http":{"method":"GET","target":"/other","proto":"HTTP/1.1","status":404}}
-- expect: [{"path":"/new","addresses":2,"requests":2,"methods":["POST"]},{"path":"/other","addresses":1,"requests":1,"methods":["GET"]}]
SELECT path, count(DISTINCT src_ip) AS addresses, count(*) AS requests, min(time) AS first_seen, list_sort(list_distinct(list(method))) AS methods
FROM http
GROUP BY path
HAVING min(time) >= coalesce(nullif($since::VARCHAR, '')::TIMESTAMPTZ, now() - INTERVAL 7 DAY)
ORDER BY addresses DESC, requests DESC, path
