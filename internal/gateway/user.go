package gateway

import (
	"fmt"
	"slices"

	"bartizan/internal/guard"
	"bartizan/internal/model"
)

// personal makes the engine that says whether the name of a user is personal data, a key or
// the like: every kind of them, whatever routes look for.
func personal(o Options) (*guard.Engine, error) {
	all, like, err := o.Inspectors(nil)
	if err != nil {
		return nil, fmt.Errorf("inspectors for the names of users: %w", err)
	}
	return guard.NewEngine(slices.DeleteFunc(all, func(in guard.Named) bool { return in.Name != "pii" && in.Name != "secret" }), like, true), nil
}

// userName is what of the name that a request gives its end user is kept. What an application
// calls its users is often their mail address: then it is a mark, the same for the same name.
func (g *Gateway) userName(name string) string {
	if name == "" || g.opt.Mark == nil {
		return clean(name, 100)
	}
	v, err := g.personal.Inspect(name, guard.Unknown)
	if err != nil {
		return g.opt.Mark(name)
	}
	for _, r := range v.Reports {
		if len(r.Findings) > 0 || r.State == guard.Failed {
			return g.opt.Mark(name)
		}
	}
	return clean(name, 100)
}

// deniedUser refuses users that have been decided about: those of keys, and those
// that an application names, by their name and by what is kept of it.
func (x *exchange) deniedUser() error {
	if x.rec.User == "" || x.g.opt.Denied == nil || x.g.opt.Denied.Len() == 0 {
		return nil
	}
	names := []string{x.rec.User}
	if x.named && x.msg != nil {
		names = append(names, clean(x.msg.User, 100))
	}
	for _, name := range names {
		e, err := model.ParseEntity(model.TypeUser, name)
		if err != nil {
			continue // what is no name cannot have been decided about
		}
		if id, denied := x.g.opt.Denied.Entity(e, x.start); denied {
			x.rec.Decision = id
			return &refusal{status: 403, code: "user_denied", message: "requests of this user are refused", outcome: Refused}
		}
	}
	return nil
}
