// Package injection is the classifier inspector: it asks the model of package
// classify about every reading of a text. It judges wording, nothing else: it
// is a tier, not the boundary (docs/guard.md).
package injection

import (
	"fmt"
	"strings"
	"sync"

	"bartizan/content"
	"bartizan/internal/guard"
	"bartizan/internal/guard/classify"
	"bartizan/internal/guard/decode"
)

// Config of the inspector.
type Config struct {
	// Threshold from 0 to 1 at which a text is flagged. 0.5 is where one per cent
	// of the benign training side is.
	Threshold float64 `yaml:"threshold"`
}

// Default configuration.
func Default() Config { return Config{Threshold: 0.5} }

// Load reads the shipped model once.
var Load = sync.OnceValues(func() (*classify.Model, error) { return classify.Decode(content.GuardModel()) })

// New makes the inspector.
func New(c Config) (guard.Inspector, error) {
	if !(c.Threshold > 0 && c.Threshold < 1) {
		return nil, fmt.Errorf("threshold %v: use a number between 0 and 1", c.Threshold)
	}
	m, err := Load()
	if err != nil {
		return nil, err
	}
	return &inspector{model: m, conf: c, pool: sync.Pool{New: func() any { return new(classify.Features) }}}, nil
}

type inspector struct {
	model *classify.Model
	conf  Config
	pool  sync.Pool
}

// Inspect implements guard.Inspector. Its finding is always there: the score
// of a text that is let pass says how close it was.
func (i *inspector) Inspect(t *guard.Text) ([]guard.Finding, error) {
	f := i.pool.Get().(*classify.Features)
	defer i.pool.Put(f)
	best := guard.Finding{Category: guard.Injection}
	for _, v := range t.Views {
		for from := 0; ; from += classify.MaxText - overlap {
			to := min(from+classify.MaxText, len(v.Text))
			i.look(v, v.Text[from:to], t.Role, f, &best)
			if to == len(v.Text) {
				break
			}
		}
	}
	return []guard.Finding{best}, nil
}

// overlap of the parts in which a long text is looked at, so that no sentence
// is cut in all of them.
const overlap = 1 << 10

// look keeps the worst of the parts of all readings.
func (i *inspector) look(v decode.View, part string, role guard.Role, f *classify.Features, best *guard.Finding) {
	s := i.model.Score(part, role, f)
	p := i.scale(s.P)
	if p <= best.Score {
		return
	}
	best.Score = p
	best.Note = "tries to take over the model"
	if s.Indirect > s.Direct {
		best.Note = "an order inside a document"
	}
	if len(v.How) > 0 {
		best.Note += ", read as " + strings.Join(v.How, ", ")
	}
}

// scale moves the configured threshold to guard.FlagScore.
func (i *inspector) scale(p float64) float64 {
	if t := i.conf.Threshold; p < t {
		return p / t * guard.FlagScore
	} else {
		return guard.FlagScore + (p-t)/(1-t)*(1-guard.FlagScore)
	}
}
