package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"bartizan/internal/api"

	"github.com/spf13/cobra"
)

// tokenEnv names the variable with the token for --server. It is not a flag:
// every user of a machine can read the arguments of every process.
const tokenEnv = "BARTIZAN_TOKEN" //nolint:gosec // a name

// remoteFlags say how to reach a node on another machine.
type remoteFlags struct {
	server, tokenFile, pin, ca string
}

func (r *remoteFlags) register(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&r.server, "server", "", "ask the node at this URL, such as https://192.0.2.7:9612, instead of the one on this machine")
	f.StringVar(&r.tokenFile, "token-file", "", "file with the token for --server (or "+tokenEnv+" in the environment)")
	f.StringVar(&r.pin, "pin", "", "SHA-256 of the certificate that --server must have (bartizan status shows it)")
	f.StringVar(&r.ca, "ca", "", "PEM file with the authorities to trust for --server (default: the system's)")
}

func (r *remoteFlags) client() (*api.Client, error) {
	text := os.Getenv(tokenEnv)
	if r.tokenFile != "" {
		b, err := readInput(r.tokenFile, 4096)
		if err != nil {
			return nil, usage(fmt.Errorf("--token-file: %w", err))
		}
		text = string(b)
	}
	if text = strings.TrimSpace(text); text == "" {
		return nil, usage(errors.New("--server needs a token: --token-file FILE, or " + tokenEnv + " in the environment; \"bartizan token create\" on the node's host makes one"))
	}
	var ca []byte
	if r.ca != "" {
		var err error
		if ca, err = readInput(r.ca, 1<<20); err != nil {
			return nil, usage(fmt.Errorf("--ca: %w", err))
		}
	}
	c, err := api.NewRemote(api.Remote{URL: r.server, Token: text, Pin: r.pin, CA: ca})
	if err != nil {
		return nil, usage(fmt.Errorf("--server: %w", err))
	}
	return c, nil
}
