//go:build !race

package lake_test

const raceBuild = false
