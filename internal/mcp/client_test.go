package mcp

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseClient(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []Server
	}{
		"claude desktop": {`{"mcpServers":{"fs":{"command":"npx","args":["-y","x"],"env":{"A":"1","N":2}}}}`,
			[]Server{{Name: "fs", Line: 1, Command: "npx", Args: []string{"-y", "x"}, Env: []Pair{{"A", "1"}, {"N", "2"}}}}},
		"vs code with comments": {"{\n // servers\n \"inputs\": [{\"id\":\"k\"}],\n \"servers\": {\n  \"gh\": {\"type\":\"http\",\"url\":\"https://x.example/mcp\",\n   \"headers\":{\"Authorization\":\"Bearer ${input:k}\"},},\n },\n}\n",
			[]Server{{Name: "gh", Line: 5, Type: "http", URL: "https://x.example/mcp", Headers: []Pair{{"Authorization", "Bearer ${input:k}"}}}}},
		"vs code settings": {`{"editor.fontSize":12,"mcp":{"servers":{"a":{"command":"b"}}}}`, []Server{{Name: "a", Line: 1, Command: "b"}}},
		"devcontainer":     {`{"customizations":{"vscode":{"mcp":{"servers":{"a":{"command":"b"}}}}}}`, []Server{{Name: "a", Line: 1, Command: "b"}}},
		"claude code with projects": {"{\"mcpServers\":{\"a\":{\"command\":\"b\"}},\n\"projects\":{\"/p\":{\"mcpServers\":{\"c\":{\"command\":\"d\"}}}}}",
			[]Server{{Name: "a", Line: 1, Command: "b"}, {Name: "c", Scope: "/p", Line: 2, Command: "d"}}},
		"cline": {`{"mcpServers":{"a":{"command":"b","disabled":true,"alwaysAllow":["x"]}}}`, []Server{{Name: "a", Line: 1, Command: "b", Disabled: true, Approved: []string{"x"}}}},
		"gemini, windsurf": {`{"mcpServers":{"a":{"httpUrl":"https://a","trust":true},"b":{"serverUrl":"https://b"}}}`,
			[]Server{{Name: "a", Line: 1, URL: "https://a", Approved: []string{"*"}}, {Name: "b", Line: 1, URL: "https://b"}}},
		"zed": {`{"context_servers":{"a":{"command":{"path":"b","args":["c"],"env":{"D":"e"}}}}}`, []Server{{Name: "a", Line: 1, Command: "b", Args: []string{"c"}, Env: []Pair{{"D", "e"}}}}},
		"entries that cannot be read": {`{"mcpServers":{"a":{"command":["b"]},"b":7,"c":{},"d":{"command":"ok"}}}`,
			[]Server{{Name: "a", Line: 1, Bad: "command: not a text"}, {Name: "b", Line: 1, Bad: "the entry is no object"}, {Name: "c", Line: 1, Bad: "neither command nor url"}, {Name: "d", Line: 1, Command: "ok"}}},
		"codex": {"model = \"o3\"\n\n[mcp_servers.docs]\ncommand = \"npx\"\nargs = [\"-y\", \"x\"]\nstartup_timeout_sec = 20\n[mcp_servers.docs.env]\nA = \"1\"\n\n[mcp_servers.\"far off\"]\nurl = \"https://x.example/mcp\"\nbearer_token_env_var = \"TOKEN\"\nenabled = false\nhttp_headers = { \"X-A\" = \"b\" }\n[mcp_servers.odd]\ncommand = [1]\n",
			[]Server{{Name: "docs", Line: 3, Command: "npx", Args: []string{"-y", "x"}, Env: []Pair{{"A", "1"}}},
				{Name: "far off", Line: 10, URL: "https://x.example/mcp", Headers: []Pair{{"Authorization", "Bearer ${env:TOKEN}"}, {"X-A", "b"}}, Disabled: true}, {Name: "odd", Line: 15, Bad: "command: not a text"}}},
		"byte order mark": {"\xef\xbb\xbf{\"mcpServers\":{}}", nil},
	} {
		got, err := ParseClient([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(got.Servers, c.want) {
			t.Errorf("%s:\n%+v, want\n%+v", name, got.Servers, c.want)
		}
	}
	for text, want := range map[string]string{
		"":                                   "neither JSON",
		"[]":                                 "not a JSON object",
		"a = 1\n":                            "none of mcpServers",
		"mcp_servers = 1\n":                  "neither JSON",
		"a = 1\na = 2\n[mcp_servers.x]\n":    "nor TOML",
		strings.Repeat("a.", 1000) + "b = 1": "nor TOML",
		`{"a":1}`:                            "none of mcpServers",
		`{"mcpServers":[]}`:                  "no object",
		`{"mcpServers":{},"mcpServers":{}}`:  "twice",
		`{"mcpServers":{"a":{"command":"x","command":"y"}}}`: "",
		strings.Repeat("[", 5000):                            "nested",
		`{"x":"` + "\xff" + `","mcpServers":{}}`:             "malformed",
	} {
		c, err := ParseClient([]byte(text))
		if want == "" {
			if err == nil && c.Servers[0].Bad == "" {
				t.Errorf("%.60q: taken", text)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	if c, err := ParseClient([]byte("{\"permissions\":{\n\"allow\":[\"Read\",5,\"mcp__a\",\"mcp__b__*\",\"mcp__c__read\"],\"deny\":[\"mcp__d\"]},\"mcpServers\":{}}")); err != nil || strings.Join(c.Allowed, " ") != "mcp__a mcp__b__*" || c.AllowedAt != 2 {
		t.Errorf("%+v %v", c, err)
	}
	if c, err := ParseClient([]byte(`{"enableAllProjectMcpServers":true}`)); err != nil || !c.TrustAll || c.TrustAllAt != 1 {
		t.Errorf("%+v %v", c, err)
	}
}

func TestHashIsOfContent(t *testing.T) {
	hash := func(s string) string {
		tool, err := ParseTool([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		c, err := tool.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		return Hash(c)
	}
	a := hash(`{"name":"x","description":"d","inputSchema":{"type":"object","properties":{"a":{},"b":{}}}}`)
	if b := hash("{ \"inputSchema\": {\"properties\":{\"b\":{},\"a\":{}},\"type\":\"object\"},\n\"description\":\"\\u0064\",\"name\":\"x\"}"); a != b {
		t.Error("order and spaces change the hash")
	}
	for _, other := range []string{`{"name":"x","description":"d.","inputSchema":{"type":"object","properties":{"a":{},"b":{}}}}`,
		`{"name":"x","description":"d","inputSchema":{"type":"object","properties":{"a":{},"b":{}}},"new":1}`,
		`{"name":"x","description":"d","inputSchema":{"type":"object","properties":{"a":{},"b":{"description":"e"}}}}`} {
		if hash(other) == a {
			t.Errorf("%s has the same hash", other)
		}
	}
}

func TestStrings(t *testing.T) {
	got := Strings([]byte(`{"a":"one","b":{"c":["two",3]},"data":"skip","d":{"data":{"x":"skip"},"e":"four"}}`), false, map[string]bool{"data": true})
	if got != "one\ntwo\nfour" {
		t.Errorf("%q", got)
	}
	if got := Strings([]byte(`{"a":{"b":"c"}}`), true, nil); got != "a\nb\nc" {
		t.Errorf("%q", got)
	}
}

func FuzzClient(f *testing.F) {
	for _, s := range []string{`{"mcpServers":{"fs":{"command":"npx","args":["-y","x"],"env":{"A":"1"}}}}`, "{// c\n\"servers\":{\"a\":{\"url\":\"http://b\"},},}",
		`{"projects":{"/p":{"mcpServers":{"c":{"command":{"path":"d"}}}}}}`, `{"mcpServers":{"a":7}}`, "[[[[", "[mcp_servers.a]\ncommand = \"b\"\nenabled = false\n[mcp_servers.a.env]\nC = 1\n", "mcp_servers.a.b.c = 1\n", "mcp_servers = {a = {url = \"http://x\"}}", "/*", "{\"mcp\":{\"mcp\":{\"mcp\":{}}}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseClient(text)
		if err != nil {
			return
		}
		for _, s := range c.Servers {
			if s.Line < 1 || s.Bad == "" && s.Command == "" && s.URL == "" {
				t.Fatalf("%+v", s)
			}
		}
	})
}

func FuzzTool(f *testing.F) {
	f.Add([]byte(`{"name":"x","description":"d","inputSchema":{"type":"object"}}`))
	f.Add([]byte(`{"name":"x","name":"y"}`))
	f.Add([]byte(`{"name":"x","annotations":{"openWorldHint":true}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tool, err := ParseTool(raw)
		if err != nil {
			return
		}
		c, err := tool.Canonical()
		if err != nil {
			return
		}
		again, err := ParseTool(c)
		if err != nil || again.Name != tool.Name {
			t.Fatalf("%q: %v", c, err)
		}
		c2, err := again.Canonical()
		if err != nil || Hash(c) != Hash(c2) {
			t.Fatalf("%q and %q: %v", c, c2, err)
		}
		if _, err := ToolPower(tool); err != nil {
			t.Fatal(err)
		}
		if _, err := Orders(tool.Texts()); err != nil {
			t.Fatal(err)
		}
	})
}
