package gateway

import (
	"bartizan/internal/guard"
	"bartizan/internal/guard/hold"
	"bartizan/internal/guard/wire"
)

// schemas is the inspector that holds answers to the schemas that a request names.
const schemas = "schema"

// demand reads the schemas of the request. What cannot be read cannot be enforced: that is
// a finding about the request.
func (x *exchange) demand() error {
	if x.route.demands == nil || x.msg == nil || len(x.msg.Schemas) == 0 {
		return nil
	}
	all := make([]guard.Asked, len(x.msg.Schemas))
	for i, s := range x.msg.Schemas {
		all[i] = guard.Asked{Tool: s.Tool, Text: s.Text, OpenAPI: s.OpenAPI}
	}
	judge, about := x.route.demands.Demand(all)
	if x.judge = judge; judge == nil {
		return nil
	}
	if x.msg.TooMany {
		about = append(about, []guard.Finding{{Category: guard.Shape, Score: guard.BlockScore, Note: "more schemas than are read"}})
	}
	side := x.route.sides[direction(wire.ToolSpec, false)]
	stop := false
	for i, found := range about {
		where := ""
		if i < len(x.msg.Schemas) {
			where = x.msg.Schemas[i].Where
		}
		for _, f := range found {
			n := hold.Noted{Where: where, Kind: wire.ToolSpec, Finding: f, Action: side.policy.Action(f)}
			x.found(n, false, func() string { return x.msg.TextAt(where) })
			stop = stop || n.Action == hold.Block
		}
	}
	if stop {
		return x.blocked()
	}
	return nil
}
