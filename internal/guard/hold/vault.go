package hold

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Limits of a vault.
const (
	maxMarks      = 2000
	maxVaultBytes = 128 << 10
	maxMark       = 40 // bytes of a placeholder
)

var mark = regexp.MustCompile(`<[A-Z][A-Z_]{1,24}_[0-9]{1,6}>`)

// Vault holds what placeholders of one conversation stand for. It lives in
// memory only and is safe for concurrent use.
type Vault struct {
	mu     sync.Mutex
	marks  map[string]string // value → placeholder
	values map[string]string
	count  map[string]int
	bytes  int
}

// NewVault makes an empty one.
func NewVault() *Vault {
	return &Vault{marks: map[string]string{}, values: map[string]string{}, count: map[string]int{}}
}

// Hide returns the placeholder for a value, the same one each time. ok is false
// when the vault is full: then the value must not go out at all.
func (v *Vault) Hide(label, value string) (placeholder string, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if m, ok := v.marks[value]; ok {
		return m, true
	}
	if len(v.marks) >= maxMarks || v.bytes+len(value) > maxVaultBytes {
		return "", false
	}
	v.count[label]++
	m := fmt.Sprintf("<%s_%d>", label, v.count[label])
	v.marks[value], v.values[m] = m, value
	v.bytes += len(value)
	return m, true
}

// Size in bytes, for the accounts of who keeps it.
func (v *Vault) Size() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.bytes + 2*maxMark*len(v.marks)
}

// edits finds placeholders of the vault in a text, from an offset on.
func (v *Vault) edits(text string, from int) (out []edit) {
	if v == nil || !strings.Contains(text[from:], "<") {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range mark.FindAllStringIndex(text[from:], -1) {
		if value, ok := v.values[text[from+m[0]:from+m[1]]]; ok {
			out = append(out, edit{from: from + m[0], to: from + m[1], text: value, restored: true})
		}
	}
	return out
}

// holds returns how many bytes at the end of a text may begin a placeholder.
func (v *Vault) holds(text string) int {
	if v == nil {
		return 0
	}
	v.mu.Lock()
	any := len(v.values) > 0
	v.mu.Unlock()
	i := strings.LastIndexByte(text, '<')
	if !any || i < 0 || len(text)-i >= maxMark {
		return 0
	}
	for _, c := range []byte(text[i+1:]) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return 0
		}
	}
	return len(text) - i
}
