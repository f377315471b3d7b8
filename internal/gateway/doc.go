// Package gateway is the reverse proxy in front of language models: it knows its
// clients by keys of its own, looks at every text that goes in or comes out with
// the guard's inspectors, acts by the policy of the route, and writes down what it
// did. Formats of APIs and inspectors are given to it; it decides nothing about
// addresses, but refuses those that have been decided about.
//
// What it could not look at it refuses, unless the route says otherwise, and the
// audit line names everything that was not looked at.
package gateway
