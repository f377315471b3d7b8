package ssh_test

import (
	"os"
	"testing/synctest"
	"time"

	_ "bartizan/internal/decoy/decoytest"
	_ "bartizan/internal/decoy/redis" // want sibling
	_ "bartizan/internal/decoy/ssh"
)

func TestMain() {
	helper()
	os.Exit(1)
}

func helper() { os.Exit(2) }

func TestA() {
	synctest.Test(nil, func() { time.Sleep(1) })
	time.Sleep(1) // want sleep
	os.Exit(1)    // want exit
}
