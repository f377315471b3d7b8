package rule

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"bartizan/internal/observe"
)

const good = `rules:
  - id: web.test
    title: a test
    kind: web.test-kind
    class: exploit
    severity: high
    confidence: 0.9
    techniques: [T1190]
    match:
      any:
        - {field: path, contains: /evil}
    cases:
      must: [{target: /evil}]
      mustnot: [{target: /good}]
`

func load(files map[string]string) ([]Rule, error) {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return LoadRules(m)
}

// TestLoadErrors: each mistake is named with its file and line.
func TestLoadErrors(t *testing.T) {
	change := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("test text lacks %q", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for what, c := range map[string]struct{ text, want string }{
		"unknown key":       {change("title:", "titel:"), `f.yaml:3: unknown field "titel"`},
		"unknown condition": {change("contains:", "contain:"), `f.yaml:11: unknown field "contain"`},
		"bad class":         {change("class: exploit", "class: explode"), `f.yaml:2: rule web.test: class "explode"`},
		"contact class":     {change("class: exploit", "class: contact"), `class "contact"`},
		"bad severity":      {change("severity: high", "severity: huge"), `unknown severity "huge": one of info, low`},
		"overconfident":     {change("0.9", "0.99"), `confidence 0.99: between 0.5`},
		"technique":         {change("[T1190]", "[CVE-1]"), `technique "CVE-1"`},
		"no technique":      {change("[T1190]", "[]"), `techniques: 1 to`},
		"unknown field":     {change("field: path", "field: line"), `unknown field "line" in a web rule: one of method, path`},
		"look-around":       {change("contains: /evil", "regex: '(?=x)'"), `no look-around`},
		"capitals":          {change("contains: /evil", "contains: /Evil"), `in lower case`},
		"capital regex":     {change("contains: /evil", "regex: 'E.il'"), `write it in lower case`},
		"folded regex":      {change("contains: /evil", "regex: '(?i)evil'"), `write it in lower case`},
		"two operators":     {change("contains: /evil", "contains: /evil, prefix: /e"), `exactly one of`},
		"no operator":       {change(", contains: /evil", ""), `exactly one of`},
		"no must":           {change("must: [{target: /evil}]", "must: []"), `at least one must and one mustnot`},
		"foreign case":      {change("{target: /good}", "{line: x}"), `case with "line" in a web rule`},
		"empty case":        {change("{target: /good}", "{}"), `empty case`},
		"bad id":            {change("id: web.test", "id: Web Test"), `id "Web Test"`},
		"syntax":            {change("rules:", "rules: ]"), `f.yaml:1: `},
		"alias":             {change("title: a test", "title: &a test"), `anchors and aliases`},
		"nothing":           {"group: web\n", `no rules`},
		"bad group":         {"group: nope\nrules: []\n", `unknown group "nope"`},
		"duplicate":         {good + strings.TrimPrefix(good, "rules:\n"), `id already used in web/f.yaml:2`},
		"two classes":       {good + strings.NewReplacer("rules:\n", "", "web.test\n", "web.other\n", "exploit", "scan").Replace(good), `kind web.test-kind is class exploit`},
	} {
		_, err := load(map[string]string{"web/f.yaml": c.text})
		var e *Error
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &e) || e.File != "web/f.yaml" {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if rules, err := load(map[string]string{"web/f.yaml": good, "web/notes.txt": "no rule"}); err != nil || len(rules) != 1 || rules[0].Line != 2 {
		t.Errorf("a good file: %v %+v", err, rules)
	}
	rules, err := load(map[string]string{"web/a.yaml": good, "web/b.yaml": "rules: x"})
	if err == nil || len(rules) != 1 {
		t.Errorf("a bad file must not hide the good one: %d rules, %v", len(rules), err)
	}
}

// TestCheckFindsWrongCases: a case that does not hold is a failure, not a pass.
func TestCheckFindsWrongCases(t *testing.T) {
	text := strings.Replace(good, "{target: /evil}", "{target: /evil}, {target: /else}", 1)
	text = strings.Replace(text, "{target: /good}", "{target: /evil/twin}", 1)
	res, err := Check(fstest.MapFS{"web/f.yaml": {Data: []byte(text)}})
	if err != nil || len(res) != 1 || res[0].Cases != 3 || len(res[0].Failures) != 2 || res[0].Line != 2 || res[0].File != "web/f.yaml" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestSourceExtraAndDisable(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "web"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "web", "mine.yaml"), []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	shippedFS := fstest.MapFS{"web/f.yaml": {Data: []byte(strings.ReplaceAll(good, "web.test\n", "web.shipped\n"))}}
	set, err := Source{Extra: dir, Disable: []string{"web.shipped"}}.Load(shippedFS, Web)
	if err != nil || len(set.Rules()) != 1 || set.Rules()[0].ID != "web.test" {
		t.Fatalf("%v", err)
	}
	if _, err := (Source{Disable: []string{"web.missing"}}).Load(shippedFS, Web); err == nil || !strings.Contains(err.Error(), "no web rule") {
		t.Errorf("a misspelt id must not pass: %v", err)
	}
}

func TestMatchConditions(t *testing.T) {
	text := `rules:
  - id: service.t
    title: t
    kind: service.t-kind
    class: exploit
    severity: low
    confidence: 0.6
    techniques: [T1190]
    match:
      all:
        - {field: op, prefix: [get, put]}
        - {field: args, suffix: [.so, .ko]}
      any:
        - {field: service, equals: redis}
        - {field: detail, contains: magic}
      not:
        - {field: args, contains: safe}
    cases:
      must:
        - {service: redis, op: GETX, args: [a, b.so]}
        - {service: other, op: PUT, args: [x.ko], detail: some MAGIC here}
      mustnot:
        - {service: other, op: GETX, args: [b.so]}
        - {service: redis, op: GETX, args: [b.so, c]}
        - {service: redis, op: POST, args: [b.so]}
        - {service: redis, op: GETX, args: [safe, b.so]}
`
	res, err := Check(fstest.MapFS{"service/f.yaml": {Data: []byte(text)}})
	if err != nil || len(res) != 1 || len(res[0].Failures) != 0 || res[0].Cases != 6 {
		t.Errorf("%+v, %v", res, err)
	}
}

// TestBackgroundIsQuiet: ordinary requests, sessions and prompts trigger no rule
// of more than a library's name.
func TestBackgroundIsQuiet(t *testing.T) {
	var all []*observe.Observation
	for _, target := range []string{"/", "/index.html", "/robots.txt", "/favicon.ico", "/sitemap.xml", "/assets/app.3f2a.js?v=12", "/blog/2024/05/select-from-the-best",
		"/search?q=union+station+and+food&page=2", "/product/42?color=red&size=m", "/de/über-uns", "/a%20b.html", "/feed.xml", "/.well-known/acme-challenge/abc",
		"/.well-known/security.txt", "/apple-touch-icon.png", "/api/v1/items?limit=10&offset=20", "/login?next=%2Faccount", "/wiki/C%2B%2B", "/?utm_source=a&utm_medium=b"} {
		for _, ua := range []string{"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
			"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)"} {
			all = append(all, &observe.Observation{Service: "http", HTTP: &observe.HTTPRequest{Method: "GET", Target: target, Proto: "HTTP/1.1", Host: "www.example.com",
				Headers: []observe.Field{{Name: "User-Agent", Value: ua}, {Name: "Accept-Language", Value: "en-US,en;q=0.5"}, {Name: "Referer", Value: "https://www.example.com/a?b=c"},
					{Name: "Cookie", Value: "session=dGhpcyBpcyBhIHNlc3Npb24; theme=dark"}, {Name: "If-None-Match", Value: `W/"33a64df5"`}}}})
		}
	}
	for _, line := range []string{"ls", "ls -la", "cd /var/www", "exit", "pwd", "echo hello", "vi notes.txt", "clear", "git status", "make build"} {
		all = append(all, &observe.Observation{Service: "ssh", Command: &observe.Command{Line: line}})
	}
	for _, p := range []string{"Summarise this article about gardening in three sentences, please.", "Translate to French: where is the station?",
		"Write a function in Go that reverses a string and explain it.", "My order has not arrived yet, what can I do about it?"} {
		all = append(all, &observe.Observation{Service: "llm", Exchange: &observe.Exchange{Route: "/v1/chat/completions", Prompt: p, System: "You are a helpful assistant."}})
	}
	for _, i := range []observe.Interaction{{}, {Client: "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13"}, {First: []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Protocol: "http"}} {
		all = append(all, &observe.Observation{Service: "tcp", Interaction: &i})
	}
	if len(all) < 70 {
		t.Fatalf("%d observations", len(all))
	}
	var sc Scratch
	for g := range groupFields {
		set := shipped(t, g)
		for _, o := range all {
			set.Match(g.Texts(o, &sc), &sc, func(r *Rule, excerpt string) {
				t.Errorf("%s triggers on %q", r.ID, excerpt)
			})
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(good)
	f.Add(strings.Replace(good, "/evil", "{a: &x [*x]}", 1))
	f.Fuzz(func(t *testing.T, s string) {
		rules, err := load(map[string]string{"web/f.yaml": s})
		for i := range rules {
			if rules[i].ID == "" || len(rules[i].Techniques) == 0 {
				t.Fatalf("incomplete rule passed: %+v (%v)", rules[i], err)
			}
		}
	})
}
