// Package app is the wiring of a node: it builds the parts, lays the hoses
// between them, starts them in order and stops them in reverse. What the parts
// do is in their own packages.
package app

import "time"

const day = 24 * time.Hour
