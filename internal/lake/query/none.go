//go:build !cgo

package query

import "context"

// engineBuilt says whether this program has the engine.
const engineBuilt = false

func serve(context.Context, order, *answer) reply { return reply{Failed: ErrNoEngine.Error()} }
