package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bartizan/internal/lake"
)

// TestLakeDiskFull fills the file system of the lake alone: first its bytes, which the lake is careful with, then its
// names, which it finds out about from the kernel. Both times the node says so, goes on with everything else, and
// writes again by itself when there is room; what the streams kept meanwhile is in the lake then.
func TestLakeDiskFull(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "nsenter", "mount")
	l := newLab(t)
	n := l.prepare(t, enforcing())
	disk := filepath.Join(n.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	n.config += "lake: {dir: " + disk + "/lake}\n"
	// The disk exists in the node's mount namespace only, and ends with it.
	n.wrap = []string{"unshare", "-m", "--propagation", "private", "sh", "-c", `mount -t tmpfs -o size=300m tmpfs ` + disk + ` && exec "$@"`, "sh"}
	n.start(t)
	n.awaitReady(t)
	inside := func(words ...string) string {
		t.Helper()
		return l.node.must(t, "nsenter", append([]string{"-t", strconv.Itoa(n.cmd.Process.Pid), "-m"}, words...)...)
	}
	checked := func() (r lake.Report) {
		t.Helper()
		if err := json.Unmarshal([]byte(inside(program(), "lake", "check", "--lake", disk+"/lake", "--format", "json")), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	lakeSays := func(state, word string) func() error {
		return func() error {
			for _, c := range n.status(t).Checks {
				if c.Name == "lake" && c.State == state && strings.Contains(c.Detail, word) {
					return nil
				}
			}
			return fmt.Errorf("checks %+v", n.status(t).Checks)
		}
	}
	visit := func() {
		t.Helper()
		a := l.attacker(t)
		_, _ = a.attackWeb("", "80") // a block on the way is fine
		n.awaitSignals(t, a.ip, "web.path-traversal")
	}
	before := int64(0)
	more := func(what string) {
		t.Helper()
		eventually(t, 20*time.Second, what, func() error {
			r := checked()
			if r.Classes["signal"] == 0 || r.Classes["http"] == 0 || r.Rows <= before || len(r.Damaged) > 0 {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
		before = checked().Rows
	}
	visit()
	more("the lake is written")
	number := func(column string) int {
		t.Helper()
		s := strings.TrimSpace(inside("sh", "-c", "df -k --output="+column+" "+disk+" | tail -1"))
		v, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("df says %q", s)
		}
		return v
	}
	for _, full := range []struct{ tight, roomy, says string }{
		{"size=" + strconv.Itoa(number("used")+1024) + "k", "size=300m", "no space left for the lake"},
		{"nr_inodes=" + strconv.Itoa(number("iused")+1), "nr_inodes=100000", "no space left on device"},
	} {
		eventually(t, 20*time.Second, "there is little room", func() error { // refused when the node has made a file meanwhile
			tight := full.tight
			if strings.HasPrefix(tight, "nr_inodes") {
				tight = "nr_inodes=" + strconv.Itoa(number("iused")+1)
			}
			if r := l.node.run(t, 20*time.Second, "nsenter", "-t", strconv.Itoa(n.cmd.Process.Pid), "-m", "mount", "-o", "remount,"+tight, disk); r.code != 0 {
				return fmt.Errorf("%s: %s", tight, r)
			}
			return nil
		})
		visit()
		eventually(t, 20*time.Second, "the status says that the lake is not written: "+full.says, lakeSays("failed", full.says))
		n.block(t, "45.66.77.1") // everything else goes on
		n.cli(t, "decisions", "remove", "45.66.77.1")
		if r := checked(); len(r.Damaged) > 0 || r.Rows < before {
			t.Errorf("with a full disk: %+v, before %d rows", r, before)
		}
		inside("mount", "-o", "remount,"+full.roomy, disk)
		eventually(t, 20*time.Second, "the lake is written again", lakeSays("ok", "writing"))
		more("what was kept meanwhile is in the lake")
	}
	n.stop(t)
}
