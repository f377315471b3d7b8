// Package e2e proves the whole program from the outside: it starts the real
// binary in a network namespace of its own, attacks it with programs that
// nobody here wrote from namespaces behind routed cables, and looks at what the
// node says, what the kernel holds and what the attacker still reaches.
//
// It holds tests only. It is not the place for what a package can prove about
// itself, and it reaches nothing but the namespaces it makes. BARTIZAN_BIN names
// a binary to test instead of a fresh build; BARTIZAN_REQUIRE_TOOLS=1 (or CI)
// makes a missing attacker's tool a failure; BARTIZAN_KILLS and BARTIZAN_SOAK=1
// set how long the long tests are.
package e2e
