// Package builtin is the registry: one literal per kind, one line per
// implementation. Adding an implementation is its folder and its line here.
package builtin

import (
	"fmt"

	"bartizan/internal/decoy"
	"bartizan/internal/detect"
	"bartizan/internal/detect/auth"
	"bartizan/internal/detect/command"
	"bartizan/internal/detect/contact"
	"bartizan/internal/detect/prompt"
	"bartizan/internal/detect/service"
	detectweb "bartizan/internal/detect/web"
	"bartizan/internal/enforce"
	"bartizan/internal/enforce/nft"
	"bartizan/internal/plug"
)

// Decoys are the services a decoy can play.
func Decoys() plug.Table[decoy.Service] {
	return plug.NewTable[decoy.Service]("decoy",
	)
}

// Detectors are the detector families, in the order they see an observation.
func Detectors() plug.Table[detect.Detector] {
	return plug.NewTable("detector",
		plug.Of("contact", contact.Default, contact.New),
		plug.Of("auth", auth.Default, auth.New),
		plug.Of("command", command.Default, command.New),
		plug.Of("web", detectweb.Default, detectweb.New),
		plug.Of("service", service.Default, service.New),
		plug.Of("prompt", prompt.Default, prompt.New),
	)
}

// Enforcers are the devices that can act on a decision.
func Enforcers() plug.Table[enforce.Enforcer] {
	return plug.NewTable("enforcer",
		plug.Of("nft", nft.Default, nft.New),
	)
}

// BuildDetectors builds every detector family from its defaults.
func BuildDetectors() ([]detect.Named, error) {
	table := Detectors()
	var out []detect.Named
	for _, name := range table.Names() {
		d, err := table.Build(name, nil)
		if err != nil {
			return nil, fmt.Errorf("detector %s: %w", name, err)
		}
		out = append(out, detect.Named{Name: name, Detector: d})
	}
	return out, nil
}
