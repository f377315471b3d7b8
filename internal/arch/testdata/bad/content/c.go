package content

import (
	_ "embed"

	_ "bartizan/internal/bus"  // want order
	_ "github.com/spf13/cobra" // want model-std-only
)
