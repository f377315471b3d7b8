package mcp

import (
	"strings"
	"testing"
)

// TestNamesWithSlashes: a * in a line is any text, so that a line that refuses or holds is
// about all tools that it seems to be about.
func TestNamesWithSlashes(t *testing.T) {
	g, _ := testGate(t, func(c *Config) {
		c.Agents = map[string]Agent{"a": {Else: Pass, Tools: []Tool{{Tool: "delete*", Do: Refuse}, {Tool: "db/?_write", Do: Refuse}}}}
	})
	s := testSession(t, g, "s")
	list(t, s, tool("delete_all/now", "x"), tool("delete/all", "x"), tool("db/a_write", "x"), tool("db/a_read", "x"))
	for i, name := range []string{"delete_all/now", "delete/all", "db/a_write"} {
		if f, _ := ask(t, s, i, name, `{}`); f != "" {
			t.Errorf("%s went to the server", name)
		}
	}
	if f, a := ask(t, s, 9, "db/a_read", `{}`); f == "" {
		t.Errorf("a tool that no line refuses: %s", a)
	}
}

// TestTwoReaders: a condition sees what every server sees, or the call is refused.
func TestTwoReaders(t *testing.T) {
	g, _ := testGate(t, func(c *Config) {
		c.Agents = map[string]Agent{"a": {Tools: []Tool{
			{Tool: "read", When: `!has(args.path) || args.path.startsWith("/srv/")`},
			{Tool: "pay", When: `args.account != 9007199254740992`},
			{Tool: "free"},
		}}}
	})
	s := testSession(t, g, "s")
	const schema = `{"name":"read","inputSchema":{"type":"object","properties":{"path":{"type":"string"}}}}`
	list(t, s, schema, tool("pay", "Pays."), tool("free", "Anything."))
	refused := 0
	for i, c := range []struct{ tool, args, why string }{
		{"read", `{"path":"/srv/x"}`, ""},
		{"read", `{"other":"x","Other2":"x"}`, ""},
		{"read", `{"path":"/srv/x","Path":"/etc/shadow"}`, "by case only"},
		{"read", `{"Path":"/etc/shadow"}`, "by case only"},
		{"read", `{"path":"/srv/x","a":[{"b":{"ſ":1,"s":2}}]}`, "by case only"},
		{"read", `{"path":"/srv/x","a":[{"b":1},{"B":2}],"B":3}`, ""},
		{"pay", `{"account":9007199254740994}`, ""},
		{"pay", `{"account":9007199254740993}`, "more digits"},
		{"pay", `{"account":-` + strings.Repeat("9", 100_000) + `}`, "refused"},
		{"pay", `{"account":1,"x":[123456789012345678901234567890]}`, "more digits"},
		{"pay", `{"account":1000000000000000000000}`, ""},
		{"pay", `{"account":"9007199254740993"}`, ""},
		{"pay", `{"account":0.12345678901234567890}`, ""},
		{"free", `{"path":1,"Path":9007199254740993}`, ""}, // no condition looks
	} {
		f, a := ask(t, s, i, c.tool, c.args)
		if (f == "") != (c.why != "") || !strings.Contains(a, c.why) {
			t.Errorf("%s %.60s: forwarded %v, answer %s", c.tool, c.args, f != "", a)
		}
		if f == "" {
			refused++
		}
	}
	if refused != 6 {
		t.Errorf("%d refused", refused)
	}
}
