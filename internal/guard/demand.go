package guard

import "bartizan/internal/safe"

// Asked is a schema that a request names: of the answer, or of a tool's arguments.
type Asked struct {
	Tool    string // "": of the answer
	Text    string // JSON
	OpenAPI bool   // as OpenAPI 3.0 has it
}

// Demander is an Inspector that holds an answer to the schemas that its request names.
type Demander interface {
	// Demand reads the schemas of one request. The findings are those about the schemas, one
	// list for each. judge is nil when there is nothing to judge; it is used by one goroutine.
	Demand(all []Asked) (judge Judge, about [][]Finding)
}

// Judge looks at the arguments of a call of a tool, or, without one, at an answer.
type Judge func(tool, text string) ([]Finding, error)

// Judged puts what a judge says into the report of the inspector that it belongs to.
func (e *Engine) Judged(v *Verdict, name string, judge func() ([]Finding, error)) []Finding {
	var found []Finding
	err := safe.Recover("inspector "+name, nil, func() (err error) {
		found, err = judge()
		return err
	})
	at := -1
	for i := range v.Reports {
		if v.Reports[i].Name == name {
			at = i
		}
	}
	if at < 0 {
		at = len(v.Reports)
		v.Reports = append(v.Reports, Report{Name: name, State: Clean})
	}
	if r := &v.Reports[at]; r.State == Skip {
		r.State, r.Why = Clean, ""
	}
	if err != nil { // not looked at is not clean: an answer that cannot be judged is not of its schema
		found = []Finding{{Category: Shape, Score: BlockScore, Note: "could not be held against the schema: " + safe.Clean(err.Error(), 200)}}
	}
	e.add(v, at, found, nil)
	e.decide(v)
	return found
}
