package gateway

import (
	"errors"

	"bartizan/internal/gateway/keys"
	"bartizan/internal/guard"
	"bartizan/internal/guard/wire"
	"bartizan/internal/model"
)

// sign is what a finding or a refusal means about the one who sent it.
type sign struct {
	kind, title string
	class       model.Class
	confidence  float64 // that the client is hostile, from this alone
	severity    model.Severity
	techniques  []string
}

// Signs of the guard, by category of finding. A client's own people make mistakes
// and its applications carry other people's text, so none of them is near certain.
func signOf(c guard.Category, direction string) (sign, bool) {
	switch {
	case c == guard.Injection && direction == "request":
		return sign{"guard.injection", "sent a prompt that attacks the model", model.ClassModelAbuse, 0.70, model.Medium, []string{"AML.T0051.000", "AML.T0054"}}, true
	case c == guard.Injection:
		return sign{"guard.indirect-injection", "sent a document with orders to the model", model.ClassModelAbuse, 0.40, model.Medium, []string{"AML.T0051.001"}}, true
	case c == guard.Secret && (direction == "response" || direction == "tool_call"):
		return sign{"guard.secret-leak", "was about to be told a secret", model.ClassSecrets, 0.75, model.High, []string{"AML.T0057", "AML.T0056"}}, true
	case c == guard.Secret:
		return sign{"guard.secret-sent", "sent a secret to a model", model.ClassSecrets, 0.20, model.Low, []string{"AML.T0057"}}, true
	case c == guard.Exfil:
		return sign{"guard.exfiltration", "had a model write an address that carries data out", model.ClassExfil, 0.50, model.High, []string{"AML.T0024", "AML.T0077"}}, true
	case c == guard.Hidden:
		return sign{"guard.hidden-text", "sent text that people cannot see", model.ClassModelAbuse, 0.55, model.Medium, []string{"AML.T0068"}}, true
	case c == guard.Link:
		return sign{"guard.denied-link", "named an address that is denied", model.ClassModelAbuse, 0.40, model.Medium, nil}, true
	case c == guard.Policy:
		return sign{"guard.policy", "broke a rule of the policy", model.ClassModelAbuse, 0.30, model.Low, nil}, true
	}
	return sign{}, false // personal data and shapes say nothing about the sender
}

// signal tells what an exchange says about its client.
func (g *Gateway) signal(x *exchange) {
	if g.opt.Signal == nil || !x.peer.IsValid() {
		return
	}
	said := map[string]bool{}
	for _, f := range x.rec.Found {
		s, ok := signOf(f.Category, f.Direction)
		if !ok || said[s.kind] {
			continue
		}
		said[s.kind] = true
		g.send(x, s, []string{f.Note})
	}
}

func (g *Gateway) send(x *exchange, s sign, notes []string) {
	sig := model.Signal{ID: model.NewULID(x.start), Time: x.start.UTC(), Kind: s.kind, Class: s.class, Rule: s.kind, Title: s.title,
		Actor: model.AddrEntity(x.peer), Address: x.peer.String(), Sensor: "gateway", Confidence: s.confidence, Severity: s.severity, Techniques: s.techniques, Count: 1}
	if x.route != nil {
		sig.Sensor = "gateway/" + x.route.name
	}
	for _, n := range notes {
		sig.Evidence = append(sig.Evidence, model.Evidence{Session: x.rec.ID, Time: x.start.UTC(), What: "verdict", Excerpt: clean(n, model.MaxExcerpt)})
	}
	if len(notes) == 0 {
		sig.Evidence = []model.Evidence{{Session: x.rec.ID, Time: x.start.UTC(), What: "exchange"}}
	}
	relate := func(t model.EntityType, v string) {
		if e, err := model.ParseEntity(t, v); err == nil && len(sig.Related) < model.MaxRelated {
			sig.Related = append(sig.Related, e)
		}
	}
	if x.rec.Key != "" {
		relate(model.TypeAccessKey, keys.Prefix+x.rec.Key)
	}
	if x.bait != "" {
		relate(model.TypeAccessKey, x.bait)
	}
	if g.opt.Fingerprint != nil && x.msg != nil {
		for i := len(x.msg.Parts) - 1; i >= 0; i-- { // the last thing a person said
			if p := x.msg.Parts[i]; p.Kind == wire.Prompt && p.Text != "" {
				relate(model.TypePrompt, g.opt.Fingerprint(p.Text))
				break
			}
		}
	}
	g.opt.Signal(sig)
}

// badKey tells of a key that is wrong in a way that says something. A key that is
// missing or mistyped says nothing.
func (g *Gateway) badKey(x *exchange, k *keys.Key, err error) {
	if g.opt.Signal == nil || !x.peer.IsValid() {
		return
	}
	var s sign
	switch {
	case errors.Is(err, keys.ErrCanary):
		s = sign{"guard.key-canary", "used a key that was laid out as bait", model.ClassAccess, 0.97, model.High, []string{"AML.T0012", "T1078.004"}}
	case errors.Is(err, keys.ErrUnknown):
		s = sign{"guard.key-guess", "offered a key this gateway never made", model.ClassAuth, 0.60, model.Low, []string{"AML.T0012", "T1110"}}
	case errors.Is(err, keys.ErrRevoked):
		s = sign{"guard.key-revoked", "used a key that was revoked", model.ClassAccess, 0.45, model.Medium, []string{"AML.T0012", "T1078.004"}}
	default:
		return
	}
	note := "key: " + err.Error()
	if k != nil && k.Name != "" {
		note += " (" + k.Name + ")"
	}
	if k != nil {
		x.bait = k.Hint
	}
	g.send(x, s, []string{note})
}
