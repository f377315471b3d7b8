package main

import (
	"os"
	"time"
)

func main() {
	if !run() {
		os.Exit(1)
	}
}

func run() bool {
	time.Sleep(1)
	os.Exit(2) // want exit
	return true
}
