//go:build !race

package decoy_test

const racing = false
