-- name: returning-attackers
-- title: Addresses that come back
-- description: Addresses with connections on several different days, the most faithful first, with the services they came for.
-- param: days = 2  on at least this many days
-- case: days=2
-- given: {"kind":"interaction","time":"2026-11-18T07:00:00Z","remote":"192.0.2.1:4000","service":"ssh","interaction":{"ended":true,"duration":1}}
-- given: {"kind":"interaction","time":"2026-11-19T23:59:59Z","remote":"192.0.2.1:4001","service":"http","interaction":{"ended":true,"duration":1}}
-- given: {"kind":"interaction","time":"2026-11-19T00:00:00Z","remote":"192.0.2.2:4000","service":"ssh","interaction":{"ended":true,"duration":1}}
-- given: {"kind":"interaction","time":"2026-11-19T10:00:00Z","remote":"192.0.2.2:4000","service":"ssh","interaction":{"ended":true,"duration":1}}
-- expect: [{"src_ip":"192.0.2.1","days":2,"connections":2,"services":["http","ssh"]}]
SELECT src_ip, count(DISTINCT time::DATE) AS days, count(*) AS connections, min(time) AS first_seen, max(time) AS last_seen,
  list_sort(list_distinct(list(service))) AS services
FROM interactions
WHERE NOT spoofable
GROUP BY src_ip
HAVING count(DISTINCT time::DATE) >= $days::INTEGER
ORDER BY days DESC, connections DESC, src_ip
