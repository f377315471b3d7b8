package query

// matchOrder asks for a retro-match instead of a statement.
type matchOrder struct{}

// Match is what the lake has about one indicator.
type Match struct{}
