// Package policies is the default deciding policy, as data. What it means is
// the business of package decide.
package policies

import _ "embed"

// Default is the policy of a node that was told nothing else: it observes.
//
//go:embed default.yaml
var Default string
