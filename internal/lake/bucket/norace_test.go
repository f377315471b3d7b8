//go:build !race

package bucket_test

const raceBuild = false
