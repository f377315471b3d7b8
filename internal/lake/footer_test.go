package lake

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"bartizan/internal/safe/thrift"
)

// TestFooterThatAsksForAll: a list in a footer that claims two thousand million row groups
// is named and never made room for.
func TestFooterThatAsksForAll(t *testing.T) {
	footer := []byte{0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0} // field 4: a list of structs
	text := binary.LittleEndian.AppendUint32(append([]byte(magic), footer...), uint32(len(footer)))
	file := filepath.Join(t.TempDir(), "x.parquet")
	if err := os.WriteFile(file, append(text, magic...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CheckFile(file); !errors.Is(err, thrift.ErrCut) {
		t.Error(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if Rowless(f, int64(len(text)+len(magic)), []Need{{Equal{Column: []string{"a"}}}}) {
		t.Error("a file that cannot be read was left out")
	}
}
