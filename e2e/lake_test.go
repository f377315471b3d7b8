package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"bartizan/internal/ocsf"
)

// TestLakeDuckDB: DuckDB's own npm package reads the files of the lake, every class, with
// the partitions as columns and the values where OCSF has them.
func TestLakeDuckDB(t *testing.T) {
	need(t, "node")
	dir, err := filepath.Abs("npm")
	if err != nil {
		t.Fatal(err)
	}
	if exec.CommandContext(t.Context(), "test", "-d", filepath.Join(dir, "node_modules", "@duckdb")).Run() != nil {
		lack(t, "DuckDB's npm package is not there: npm ci --prefix e2e/npm")
	}
	lake, err := filepath.Abs("../internal/lake/testdata/v1")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "duckdb.mjs"), lake).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got struct {
		Classes map[string]struct {
			N    int
			Day  string
			Hour int
		}
		Auth struct{ IP, Name, Password string }
		HTTP struct{ Path, Header string }
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for _, c := range ocsf.Classes() {
		if r := got.Classes[c.Name]; r.N != 1 || r.Day != "2026-11-27" || r.Hour != 9 {
			t.Errorf("class %s: %+v", c.Name, r)
		}
	}
	if got.Auth.IP != "192.0.2.7" || got.Auth.Name != "root" || got.Auth.Password != "123456" || got.HTTP.Path != "/.env" || got.HTTP.Header != "Accept" {
		t.Errorf("%s", out)
	}
}
