package life

import (
	_ "bartizan/internal/arch" // want order
	_ "bartizan/internal/bus"  // want order
	_ "bartizan/internal/conf"
)
