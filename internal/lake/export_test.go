package lake

import "bytes"

// OpenSheets is how many files are being encoded.
func (l *Lake) OpenSheets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.openSheets()
}

// VerifySum compares a file in memory with its checksum.
func VerifySum(b []byte) error { return verifySum(bytes.NewReader(b), int64(len(b))) }

// SetMinFree makes room on the disk, or takes it away.
func (l *Lake) SetMinFree(n int64) {
	l.disk.Lock()
	defer l.disk.Unlock()
	l.opt.MinFree = n
}
