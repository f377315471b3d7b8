package decoytest

import (
	"time"

	_ "bartizan/internal/decoy"
)

func Run() {
	time.Sleep(1) // want sleep
}
