package content_test

import (
	"io/fs"
	"strings"
	"testing"

	"bartizan/content"
)

func TestRulesAreEmbedded(t *testing.T) {
	n := 0
	err := fs.WalkDir(content.Rules(), ".", func(p string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(p, ".yaml") {
			n++
		}
		return err
	})
	if err != nil || n < 5 {
		t.Fatalf("%d rule files, %v", n, err)
	}
}
