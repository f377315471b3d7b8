package app

import (
	_ "bartizan/e2e" // want order
	_ "bartizan/internal/builtin"
	_ "bartizan/internal/cli"   // want order
	_ "bartizan/internal/decoy" // kinds are fine here
)

type HugeConfig struct { // want config-size
	A1, A2, A3, A4, A5, A6, A7, A8, A9, A10 int
	B1, B2, B3, B4, B5, B6, B7, B8, B9, B10 int
	C                                       int
}

type Tagged struct { // want config-size
	A1, A2, A3, A4, A5, A6, A7, A8, A9, A10 int
	B1, B2, B3, B4, B5, B6, B7, B8, B9, B10 int
	C                                       int `yaml:"c"`
}

type NotConfigured struct {
	A1, A2, A3, A4, A5, A6, A7, A8, A9, A10 int
	B1, B2, B3, B4, B5, B6, B7, B8, B9, B10 int
	C                                       int
}
