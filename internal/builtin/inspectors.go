package builtin

import (
	"context"
	"fmt"
	"io"
	"slices"

	"bartizan/internal/conf"
	"bartizan/internal/detect/prompt"
	"bartizan/internal/guard"
	"bartizan/internal/guard/condition"
	"bartizan/internal/guard/decode"
	"bartizan/internal/guard/exfil"
	"bartizan/internal/guard/hidden"
	"bartizan/internal/guard/injection"
	"bartizan/internal/guard/judge"
	"bartizan/internal/guard/language"
	"bartizan/internal/guard/link"
	"bartizan/internal/guard/onnx"
	"bartizan/internal/guard/pattern"
	"bartizan/internal/guard/pii"
	"bartizan/internal/guard/schema"
	"bartizan/internal/guard/secret"
	"bartizan/internal/guard/size"
	"bartizan/internal/plug"
)

// Inspectors are what the guard looks at a text with, in that order.
func Inspectors() plug.Table[guard.Inspector] {
	return plug.NewTable("inspector",
		plug.Of("size", size.Default, size.New),
		plug.Of("secret", secret.Default, secret.New),
		plug.Of("pii", pii.Default, pii.New),
		plug.Of("link", link.Default, link.New),
		plug.Of("exfil", exfil.Default, exfil.New),
		plug.Of("hidden", hidden.Default, hidden.New),
		plug.Of("language", language.Default, language.New),
		plug.Of("schema", schema.Default, schema.New),
		plug.Of("pattern", pattern.Default, pattern.New),
		plug.Of("condition", condition.Default, condition.New),
		plug.Of("judge", judge.Default, judge.New),
		plug.Of("onnx", onnx.Default, onnx.New),
		plug.Of("injection", injection.Default, injection.New),
	)
}

// BuildInspectors makes every inspector, and what tells how much a text looks like
// a language; options are by name.
func BuildInspectors(options map[string]conf.Raw) ([]guard.Named, decode.Likeness, error) {
	table := Inspectors()
	for name, raw := range options {
		if err := table.Check(name, raw); err != nil {
			return nil, nil, err
		}
	}
	var all []guard.Named
	for _, name := range table.Names() {
		in, err := table.Build(name, options[name])
		if err != nil {
			return nil, nil, err
		}
		all = append(all, guard.Named{Name: name, Inspector: in})
	}
	m, err := injection.Load()
	if err != nil {
		return nil, nil, err
	}
	return all, m.Likeness, nil
}

// BuildGuard makes the engine with every inspector; options are by name.
func BuildGuard(options map[string]conf.Raw) (*guard.Engine, error) {
	all, like, err := BuildInspectors(options)
	if err != nil {
		return nil, err
	}
	return guard.NewEngine(all, like, true), nil
}

// PromptFingerprint identifies a prompt by its words, as the signals of decoys do.
func PromptFingerprint(text string) string { return prompt.Fingerprint(text) }

// KnownSecrets are the texts that the options of the inspectors call secret, as they are
// written: canaries and known secrets.
func KnownSecrets(options map[string]conf.Raw) ([]string, error) {
	v, err := Inspectors().Effective("secret", options["secret"])
	if err != nil {
		return nil, err
	}
	c, ok := v.(secret.Config)
	if !ok {
		return nil, fmt.Errorf("options of the inspector secret are a %T", v)
	}
	return slices.Concat(c.Canaries, c.Known), nil
}

// GuardModelVerb is the hidden command line word under which the binary runs as the process of a model of the
// operator's own.
const GuardModelVerb = onnx.ChildVerb

// RunGuardModel is the main of the process of GuardModelVerb.
func RunGuardModel(ctx context.Context, in io.Reader, out io.Writer) error {
	return onnx.RunChild(ctx, in, out)
}
