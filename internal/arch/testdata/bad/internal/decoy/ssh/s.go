package ssh

import (
	_ "bartizan/internal/app" // want implementation
	_ "bartizan/internal/conf"
	_ "bartizan/internal/decoy"
	_ "bartizan/internal/decoy/redis" // want sibling
	_ "bartizan/internal/decoy/shell"
	_ "bartizan/internal/detect" // want kinds
	_ "bartizan/internal/model"
	_ "bartizan/internal/observe"
)
