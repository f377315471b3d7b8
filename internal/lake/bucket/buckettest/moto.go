package buckettest

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bartizan/internal/conf"
	"bartizan/internal/lake/bucket"
	"bartizan/internal/safe/porttest"
)

// MotoAsked says whether tests are to run against moto too: BARTIZAN_MOTO is set.
func MotoAsked() bool { return os.Getenv("BARTIZAN_MOTO") != "" }

// Moto returns an empty bucket of a moto of its own, which ends with the test.
func Moto(t testing.TB) bucket.Store {
	t.Helper()
	c := MotoConfig(t)
	c.Prefix = "node1"
	s, err := c.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// MotoConfig starts moto, an emulator of AWS in Python, that ends with the test, and says how to reach an empty bucket
// there; its other services have the same endpoint. BARTIZAN_MOTO=1 scripts/install-test-tools.sh unpacks it.
func MotoConfig(t testing.TB) bucket.Config {
	t.Helper()
	root := motoRoot()
	if root == "" {
		t.Fatal("moto is missing: BARTIZAN_MOTO=1 scripts/install-test-tools.sh")
	}
	host, port := "127.0.0.1", porttest.Free(t, "tcp", 1)[0]
	addr := net.JoinHostPort(host, port)
	log := &bytes.Buffer{}
	cmd := exec.Command("/usr/bin/python3", "-m", "moto.server", "-H", host, "-p", port)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(root, "usr/lib/python3/dist-packages"), "PYTHONDONTWRITEBYTECODE=1")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	deadline, tick := time.After(time.Minute), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+addr+"/"+Bucket, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := client.Do(req); err == nil {
			if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("moto makes no bucket: %s %v", resp.Status, err)
			}
			break
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("moto ended: %v\n%s", err, log)
		case <-deadline:
			t.Fatal("moto does not listen")
		case <-tick.C:
		}
	}
	return bucket.Config{Name: Bucket, Region: "us-east-1", Endpoint: "http://" + addr, PathStyle: true,
		AccessKey: AccessKey, SecretKey: conf.NewSecret(SecretKey)}
}

// motoRoot is where scripts/install-test-tools.sh unpacks moto; "" when it has not.
func motoRoot() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if root := filepath.Join(dir, ".cache", "moto"); fileExists(filepath.Join(root, "complete")) {
			return root
		}
	}
	return ""
}
