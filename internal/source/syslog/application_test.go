package syslog

import (
	"testing"
	"time"

	"bartizan/internal/observe"
)

func applicationOf(t testing.TB) *applicationDecoder {
	t.Helper()
	f, err := Application(Default())
	if err != nil {
		t.Fatal(err)
	}
	return f.Decoder().(*applicationDecoder)
}

// TestApplication: applications say the same thing in many forms.
func TestApplication(t *testing.T) {
	const moment = "2024-03-05T10:20:30Z"
	for line, want := range map[string]string{
		"2024-03-05 10:20:30.104 Warn Server: AUTH-ERROR: 192.0.2.1 - Invalid username or password entered.":                                              "192.0.2.1 ",
		"[2024-03-05 10:20:30,332] [INFO] [app.auth] Login failed for user `eve` from IP `192.0.2.1`.":                                                    "192.0.2.1 eve",
		"2024/03/05 10:20:30 auth.go:200: Failed authentication attempt for eve from 192.0.2.1:4711: user does not exist":                                 "192.0.2.1 eve",
		"W, [2024-03-05T10:20:30.245316 #1]  WARN -- : Failed login for 'eve' from 192.0.2.1 at 2024-03-05 10:20:30 UTC":                                  "192.0.2.1 eve",
		"Tue Mar 5 10:20:30 2024 [pid 27244] [eve] FAIL LOGIN: Client \"::ffff:192.0.2.1\"":                                                               "192.0.2.1 ",
		"2024-03-05 12:20:30 +02:00 [Warning] Failed login attempt by IP: 192.0.2.1":                                                                      "192.0.2.1 ",
		"05/Mar/2024:10:20:30 +0000 authentication rejected, address=192.0.2.1":                                                                           "192.0.2.1 ",
		`{"time":"2024-03-05T10:20:30.133Z","event":"user.login","user":"eve","success":false,"error":"invalid credentials","addr.remote":"192.0.2.1:9"}`: "192.0.2.1 eve",
		`{"timestamp":"2024-03-05 10:20:30.784","message":"[Auth] Failed login attempt for username \"eve\" from ip 192.0.2.1"}`:                          "192.0.2.1 eve",
		"2024-03-05 10:20:30 dovecot_login authenticator failed for ([198.51.100.1]) [192.0.2.1]:55379: 535 Incorrect authentication data":                "192.0.2.1 ",
		"2024-03-05 10:20:30 INFO successful login of eve from 192.0.2.1, last failed login 3 days ago":                                                   "",
		"2024-03-05 10:20:30 ERROR failed to connect to 192.0.2.1":                                                                                        "",
		"2024-03-05 10:20:30 INFO invalid session cookie, redirect to the page for login, 192.0.2.1":                                                      "",
		"Failed login for eve from 192.0.2.1, no time":                                                                                                    "",
		"2024-03-05 10:20:30 Failed login for eve":                                                                                                        "",
		"2024-99-99 10:20:30 Failed login from 192.0.2.1":                                                                                                 "",
	} {
		var b observe.LogBatch
		err := applicationOf(t).Decode([]byte(line), 3, &b)
		if (err == nil) != (want != "") || len(b.Events) > 1 {
			t.Errorf("%s: %v, %d events", line, err, len(b.Events))
			continue
		}
		if want == "" {
			continue
		}
		e := b.Events[0]
		if got := e.Remote.Addr().String() + " " + e.Auth.User; got != want || e.Record != 3 || e.Auth.Accepted {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
		if got := e.Time.Format(time.RFC3339); got != moment {
			t.Errorf("%s: at %s", line, got)
		}
	}
}

func FuzzApplication(f *testing.F) {
	f.Add("2024-03-05 10:20:30 +02:00 [Warning] Failed login attempt by IP: 192.0.2.1")
	f.Add(`{"t":{"$date":"2024-03-05T10:20:30"},"msg":"Authentication failed","attr":{"remote":"[::1]:5"}}`)
	f.Add("Mar  5 10:20:30 20 denied password from ::")
	f.Fuzz(func(t *testing.T, line string) {
		if line == "" {
			return
		}
		var b observe.LogBatch
		if applicationOf(t).Decode([]byte(line), 0, &b) == nil && (len(b.Events) != 1 || !b.Events[0].Remote.Addr().IsValid() || len(b.Events[0].Auth.User) > 256) {
			t.Errorf("%q: %+v", line, b.Events)
		}
	})
}
