package builtin

import (
	"bartizan/internal/assess"
	"bartizan/internal/assess/mcp"
	"bartizan/internal/plug"
)

// Scanners look at what is protected; their names are the words after `scan`.
func Scanners() plug.Table[assess.Scanner] {
	return plug.NewTable("scanner",
		plug.Of("mcp", mcp.Default, mcp.New),
	)
}
