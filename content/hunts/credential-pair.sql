-- name: credential-pair
-- title: All sessions with this credential pair
-- description: Where a user name and password were tried together, on any service. A pair nobody guesses ties sessions of
--   different addresses to one actor.
-- param: username
-- param: password
-- case: username=admin password=Zx9!known
-- given: {"kind":"auth","time":"2026-11-19T07:00:00Z","remote":"192.0.2.1:4000","service":"ssh","auth":{"method":"password","user":"admin","password":"Zx9!known","accepted":true}}
-- given: {"kind":"auth","time":"2026-11-20T07:00:00Z","remote":"[2001:db8::1]:4000","service":"telnet","auth":{"method":"password","user":"admin","password":"Zx9!known","accepted":false}}
-- given: {"kind":"auth","time":"2026-11-20T08:00:00Z","remote":"192.0.2.9:4000","service":"ssh","auth":{"method":"password","user":"admin","password":"admin","accepted":false}}
-- given: {"kind":"auth","time":"2026-11-20T08:00:00Z","remote":"192.0.2.9:4000","service":"ssh","auth":{"method":"password","user":"root","password":"Zx9!known","accepted":false}}
-- expect: [{"time":"2026-11-19T07:00:00Z","src_ip":"192.0.2.1","service":"ssh","accepted":true},{"time":"2026-11-20T07:00:00Z","src_ip":"2001:db8::1","service":"telnet","accepted":false}]
SELECT time, src_ip, service, decoy, sensor, accepted, session
FROM logins
WHERE username = $username AND password = $password
ORDER BY time, src_ip
