// Package model holds the six nouns of Bartizan: Signal, Indicator, Decision,
// Receipt, Asset and Finding, and the small values they are made of.
//
// It is what every other package agrees on, so it imports the standard library
// only and contains no behaviour beyond parsing, validation and plain folds.
// It is not the place for observations (package observe), for storage, or for
// anything that needs a clock of its own: times are always passed in.
package model
