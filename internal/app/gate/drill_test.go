package gate

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bartizan/internal/model"
)

// A drill's route is there for the drill, as long as its lease lives, and for nobody else.
func TestDrillRoute(t *testing.T) {
	j := join(t)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"object":"list","data":[]}`)
	}))
	defer up.Close()
	now := time.Now()
	lease := model.Lease{ID: model.NewULID(now), Addresses: []string{"198.18.0.7"}, Until: now.Add(time.Minute)}
	at, key, end, err := j.role.Drill(lease, up.URL, "drill-0123456789")
	if err != nil {
		t.Fatal(err)
	}
	get := func(at, key, from string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at+"/v1/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		if from != "" {
			req.Header.Set("X-Forwarded-For", from)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	if got := get(at, key, "198.18.0.7"); got != 200 {
		t.Fatalf("the drill: %d", got)
	}
	for name, got := range map[string]int{
		"an ordinary key":      get(at, j.key, "198.18.0.7"),
		"an address of others": get(at, key, "198.18.0.8"),
		"no address":           get(at, key, ""),
		"several addresses":    get(at, key, "198.18.0.7, 198.18.0.7"),
	} {
		if got != 404 {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := get(j.role.URL()+"/openai", key, "45.66.77.88"); got != 401 {
		t.Errorf("the drill's key on an ordinary route: %d", got)
	}
	// Decisions of the ledger count on it as on every route.
	j.decided("198.18.0.0/15", true)
	if got := get(at, key, "198.18.0.7"); got != 200 {
		t.Errorf("a dry run: %d", got)
	}
	end()
	if got := get(at, key, "198.18.0.7"); got != 404 {
		t.Errorf("after its end: %d", got)
	}
	short := lease
	short.ID, short.Until = model.NewULID(now), now.Add(-time.Second)
	for name, c := range map[string]struct {
		lease            model.Lease
		upstream, canary string
	}{
		"over":            {short, up.URL, "drill-0123456789"},
		"not on loopback": {lease, "http://192.0.2.1:80", "drill-0123456789"},
		"a name":          {lease, "http://localhost:80", "drill-0123456789"},
		"no URL":          {lease, "::", "drill-0123456789"},
		"short canary":    {lease, up.URL, "x"},
		"odd canary":      {lease, up.URL, "drill-]\n" + strings.Repeat("x", 9)},
	} {
		if _, _, end, err := j.role.Drill(c.lease, c.upstream, c.canary); err == nil {
			end()
			t.Errorf("%s: taken", name)
		}
	}
}
