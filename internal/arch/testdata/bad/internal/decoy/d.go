package decoy

import (
	_ "bartizan/internal/decoy/decoytest" // want test-tool
	_ "bartizan/internal/decoy/shell"
	_ "bartizan/internal/decoy/ssh" // want builtin-only
	_ "bartizan/internal/lake"
	_ "bartizan/internal/source" // want kinds
)

type Service interface { // want contract-size
	A()
	B()
	C()
	D()
}

type Small interface {
	A()
	B()
	C()
}
