// Command bartizan is an active-defense node: decoys that learn how attackers
// behave, detection, intelligence, decisions under guardrails, and enforcement
// that proves itself. All of it is in internal/; this file only turns signals
// of the operating system into a context and the result into an exit code.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"bartizan/internal/cli"
)

// version is set by the build (-ldflags -X main.version=…).
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends what the first one could not
	code := cli.Main(ctx, cli.Env{Version: version, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}
