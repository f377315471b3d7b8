package shell

import (
	_ "bartizan/internal/decoy"
	_ "bartizan/internal/decoy/redis" // want builtin-only
)
