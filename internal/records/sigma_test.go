package records

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSigmaOnAccessLogs: rules of the category webserver meet requests, others
// do not, and a correlation counts them.
func TestSigmaOnAccessLogs(t *testing.T) {
	dir := t.TempDir()
	rules := filepath.Join(dir, "rules")
	if err := os.Mkdir(rules, 0o755); err != nil {
		t.Fatal(err)
	}
	head := "title: t\nlevel: high\nlogsource: {category: webserver}\ndetection: "
	for name, text := range map[string]string{
		"path":    head + "{s: {cs-method: GET, 'cs-uri-query|contains': '/cgi-test/'}, condition: s}",
		"query":   head + "{s: {'cs-uri-query|startswith': 'cmd=', sc-status: 200}, condition: s}",
		"agent":   head + "{s: {'c-useragent|contains': odd-client}, f: {cs-referer|exists: true}, condition: s and not f}",
		"words":   head + "{s: [needleword], condition: s}",
		"silent":  head + "{s: {cs-method: DELETE}, condition: s}",
		"windows": "title: t\nlogsource: {product: windows}\ndetection: {s: {cs-method: GET}, condition: s}",
		"count":   head + "{s: {sc-status: 401}, condition: s | count() by c-ip > 2, timeframe: 1m}",
	} {
		if err := os.WriteFile(filepath.Join(rules, name+".yml"), []byte("id: "+name+"\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "access.log")
	line := func(ip, second, request, status, agent string) string {
		return ip + ` - - [01/Mar/2026:10:00:` + second + ` +0000] "` + request + ` HTTP/1.1" ` + status + ` 10 "-" "` + agent + "\"\n"
	}
	text := line("192.0.2.1", "00", "GET /CGI-test/x", "404", "m") + line("192.0.2.2", "01", "GET /a?cmd=id", "200", "m") + line("192.0.2.2", "02", "GET /a?cmd=id", "404", "m") +
		line("192.0.2.3", "03", "POST /", "200", "an Odd-Client/1") + line("192.0.2.4", "04", "POST /?q=NeedleWord", "200", "m") +
		line("192.0.2.5", "05", "POST /in", "401", "m") + line("192.0.2.5", "06", "POST /in", "401", "m") + line("192.0.2.5", "07", "POST /in", "401", "m")
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	rep, err := Detect(context.Background(), Request{Inputs: []string{log}, Type: "access", Rules: rules}, func(d Detected) error {
		if strings.HasPrefix(d.Signal.Kind, "sigma") {
			got = append(got, d.Signal.Rule+" "+d.Signal.Actor.Value())
			if d.Signal.Time.Year() != 2026 {
				t.Errorf("%s happened at %v", d.Signal.Rule, d.Signal.Time)
			}
		}
		return nil
	})
	if err != nil || rep.Sigma == nil || rep.Sigma.Rules != 7 || len(rep.Panics) > 0 {
		t.Fatal(err, rep.Sigma, rep.Panics)
	}
	slices.Sort(got)
	want := []string{"agent 192.0.2.3", "count 192.0.2.5", "path 192.0.2.1", "query 192.0.2.2", "words 192.0.2.4"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
