package jail

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	x32Bit    = 0
)

var (
	allowedHere []uintptr
	trippedHere []uintptr
	readingHere []uintptr
)
