// Package nft measures the nf_tables enforcer against the kernel of this
// machine, in a network namespace of its own: loading, replacing, reading back,
// and one new block among many. It needs root and holds benchmarks only.
package nft
