package credential

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestAccuracyStrings measures on strings that the makers of a scanner wrote to test its
// rules: what is a secret there and has a published form should be found, look-alikes not. Their rules also
// take any random text beside a company's name for a secret; those have no form and are not found here.
func TestAccuracyStrings(t *testing.T) {
	shared := os.Getenv("BARTIZAN_SHARED")
	if shared == "" {
		t.Skip("NOT MEASURED: no third-party data (set BARTIZAN_SHARED)")
	}
	f, err := os.Open(filepath.Join(shared, "data/secrets/gitleaks-strings.jsonl.gz"))
	if err != nil {
		t.Skip("NOT MEASURED: no third-party data (set BARTIZAN_SHARED): ", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	type tally struct{ n, found int }
	rules := map[string]*tally{}
	var all, not tally
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row struct {
			Rule   string `json:"rule"`
			Secret bool   `json:"secret"`
			Text   []byte `json:"text_b64"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		hit := len(Find(string(row.Text))) > 0
		to := &not
		if row.Secret {
			to = &all
			if rules[row.Rule] == nil {
				rules[row.Rule] = &tally{}
			}
			rules[row.Rule].n++
			if hit {
				rules[row.Rule].found++
			}
		} else if hit && testing.Verbose() {
			t.Logf("look-alike of %s: %v", row.Rule, Find(string(row.Text)))
		}
		to.n++
		if hit {
			to.found++
		}
	}
	if err := lines.Err(); err != nil || all.n < 1000 || not.n < 100 {
		t.Fatalf("%d and %d rows: %v", all.n, not.n, err)
	}
	whole := 0
	var missed []string
	for name, r := range rules {
		if r.found*10 >= r.n*9 {
			whole++
		} else {
			missed = append(missed, name)
		}
	}
	slices.Sort(missed)
	t.Logf("found %d of %d strings, %d of %d rules to nine tenths; %d of %d look-alikes", all.found, all.n, whole, len(rules), not.found, not.n)
	t.Logf("other rules: %s", strings.Join(missed, " "))
	if not.found*10 > not.n { // mostly keys of documents, which have the form of real ones
		t.Errorf("%d of %d look-alikes are found", not.found, not.n)
	}
}
