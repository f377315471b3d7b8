-- name: path-history
-- title: Who touched this path before it was known
-- description: Every address that asked for a path, with its first and last request. After an advisory names a path, the requests
--   from before its publication are those who knew.
-- param: path  as sent, without its query: /cgi-bin/luci
-- param: before = 9999-12-31  only requests before this time: the day the advisory came out
-- case: path=/.env before=2026-11-21
-- given: {"kind":"http","time":"2026-11-19T07:00:00Z","remote":"192.0.2.1:4000","http":{"method":"GET","target":"/.env?x=1","proto":"HTTP/1.1","status":404}}
-- given: {"kind":"http","time":"2026-11-20T07:00:00Z","remote":"192.0.2.1:4001","http":{"method":"GET","target":"/.env","proto":"HTTP/1.1","status":200}}
-- given: {"kind":"http","time":"2026-11-22T07:00:00Z","remote":"192.0.2.2:4000","http":{"method":"GET","target":"/.env","proto":"HTTP/1.1","status":404}}
-- given: {"kind":"http","time":"2026-11-20T07:00:00Z","remote":"192.0.2.3:4000","http":{"method":"GET","target":"/.environment","proto":"HTTP/1.1","status":404}}
-- expect: [{"src_ip":"192.0.2.1","requests":2,"first_seen":"2026-11-19T07:00:00Z","last_seen":"2026-11-20T07:00:00Z","sessions":2}]
SELECT src_ip, count(*) AS requests, min(time) AS first_seen, max(time) AS last_seen, count(DISTINCT session) AS sessions
FROM http
WHERE path = $path AND time < $before::TIMESTAMPTZ
GROUP BY src_ip
ORDER BY first_seen, src_ip
