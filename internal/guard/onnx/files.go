package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

func sum(raw []byte) string {
	s := sha256.Sum256(raw)
	return hex.EncodeToString(s[:])
}

// readSized reads a whole file into memory of its size: growing would need twice as much for a large model.
func readSized(f *os.File, most int64, name string) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() > most {
		return nil, fmt.Errorf("%s has %d bytes, at most %d", name, st.Size(), most)
	}
	raw := make([]byte, st.Size())
	if _, err := io.ReadFull(f, raw); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return raw, nil
}

// where says where to get the runtime.
const where = "the release archive onnxruntime-linux-x64 (or -aarch64) of the ONNX Runtime project has it in lib, the npm package onnxruntime-node in bin; 1.24 or newer"

// findLibrary is the file of the runtime, links resolved. It is code that will run: nobody but root and the gateway's own
// user may be able to change it.
func findLibrary(named string) (string, error) {
	candidates := []string{named}
	if named == "" {
		candidates = nil
		arch := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
		for _, dir := range []string{"/usr/local/lib", "/usr/lib/" + arch, "/usr/lib64", "/usr/lib", "/opt/onnxruntime/lib"} {
			for _, name := range []string{"libonnxruntime.so", "libonnxruntime.so.1"} {
				candidates = append(candidates, filepath.Join(dir, name))
			}
		}
	}
	for _, c := range candidates {
		path, err := filepath.EvalSymlinks(c)
		if err != nil {
			continue
		}
		st, err := os.Stat(path)
		if err != nil || !st.Mode().IsRegular() {
			continue
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Uid != 0 && int(sys.Uid) != os.Geteuid() || st.Mode()&0o022 != 0 {
			return "", fmt.Errorf("library %s can be changed by others than root and this user: chown and chmod go-w it, for it is code that runs here", path)
		}
		return path, nil
	}
	if named != "" {
		return "", fmt.Errorf("library %s is not there: %s", named, where)
	}
	return "", fmt.Errorf("no ONNX Runtime (libonnxruntime.so) on this machine: %s; name it with \"library\"", where)
}
