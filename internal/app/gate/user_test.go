package gate

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/gateway"
	"bartizan/internal/gateway/budget"
	"bartizan/internal/model"
)

// TestUserIsMasked: of a user whose name is a mail address no file has the name, and budgets,
// decisions about the name and decisions about its mark hold all the same.
func TestUserIsMasked(t *testing.T) {
	c := gateway.DefaultConfig()
	c.Listen, c.Keeper = "127.0.0.1:0", false
	c.Routes = map[string]gateway.Route{"openai": {Service: gateway.Service{Upstream: echo(t), Anonymous: true}}}
	c.Budgets = []budget.Limit{{By: "user", Only: []string{"ann@example.org"}, Per: conf.Duration(24 * time.Hour), Requests: 1}}
	if bad := Complete(&c); len(bad) > 0 {
		t.Fatal(bad)
	}
	dir, denied := t.TempDir(), gateway.NewDenied()
	ctx, stop := context.WithCancel(t.Context())
	at, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- Alone(ctx, Options{Config: c, Data: dir, Denied: denied, Log: slog.New(slog.DiscardHandler)}, LakeConfig{}, func(g *Gate) { at <- g.URL() })
	}()
	base := <-at
	ask := func(user string) (int, string) {
		t.Helper()
		resp, err := http.Post(base+"/openai/v1/chat/completions", "application/json", strings.NewReader(`{"model":"m","user":"`+user+`","messages":[{"role":"user","content":"good morning"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	deny := func(name string) {
		t.Helper()
		e, err := model.ParseEntity(model.TypeUser, name)
		if err != nil {
			t.Fatal(err)
		}
		denied.Set(model.NewULID(time.Now()), e, time.Now().Add(time.Hour))
	}
	for i, want := range []int{200, 429} {
		if code, text := ask("ann@example.org"); code != want {
			t.Errorf("request %d: %d %s", i, code, text)
		}
	}
	line := func() string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(Dir(dir), "audit.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		all := strings.Split(strings.TrimSpace(string(text)), "\n")
		_, mark, _ := strings.Cut(all[len(all)-1], `"user":"`)
		mark, _, _ = strings.Cut(mark, `"`)
		return mark
	}
	mark := line()
	if !strings.HasPrefix(mark, "masked-") {
		t.Errorf("the audit line has %q", mark)
	}
	deny("ben@example.org")
	if code, text := ask("ben@example.org"); code != 403 || !strings.Contains(text, "user_denied") {
		t.Errorf("decided about by name: %d %s", code, text)
	}
	if code, _ := ask("eve@example.org"); code != 200 {
		t.Errorf("another user: %d", code)
	}
	deny(line())
	if code, text := ask("eve@example.org"); code != 403 || !strings.Contains(text, "user_denied") {
		t.Errorf("decided about by mark: %d %s", code, text)
	}
	if code, _ := ask("u-1234"); code != 200 || line() != "u-1234" {
		t.Errorf("a name that says nothing: %d, kept as %q", code, line())
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann@", "ben@", "eve@"} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if strings.Contains(string(text), name) {
				t.Errorf("%s has %s", path, name)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
