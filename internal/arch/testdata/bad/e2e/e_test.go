package e2e

import (
	"time"

	_ "bartizan/internal/app"
	_ "bartizan/internal/decoy/ssh"
)

func wait() {
	time.Sleep(1) // want sleep
}
