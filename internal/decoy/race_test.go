//go:build race

package decoy_test

const racing = true // its bookkeeping counts as memory
