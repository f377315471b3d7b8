package budget

import "time"

// baseline is what a key usually spends in an hour.
type baseline struct {
	Hour   int64   `json:"hour"`   // Unix hours, the one that is counted
	Tokens int64   `json:"tokens"` // in it
	Mean   float64 `json:"mean"`   // of hours with use, weighted towards the newest
	Hours  int     `json:"hours"`  // with use
	Told   bool    `json:"told,omitempty"`
}

// When spending is an alarm: a key with enough history that spends many times its
// mean in one hour, and not by being hardly used before.
const (
	learnHours = 12
	manyTimes  = 8
	spikeFloor = 50_000 // tokens
	weight     = 0.1
	maxKeys    = 50_000
)

// Spike is a key that spends many times what it usually does.
type Spike struct {
	Tokens int64   // this hour
	Mean   float64 // of its hours before
}

// Observe counts what a key has spent, and says once an hour when that is a spike.
func (b *Book) Observe(now time.Time, key string, tokens int64) *Spike {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.observe(key, now, tokens)
}

func (b *Book) observe(key string, at time.Time, tokens int64) *Spike {
	if key == "" {
		return nil
	}
	x := b.alarms[key]
	hour := at.Unix() / 3600
	if x == nil {
		if len(b.alarms) >= maxKeys {
			return nil
		}
		x = &baseline{Hour: hour}
		b.alarms[key] = x
	}
	if hour > x.Hour {
		if x.Tokens > 0 {
			if x.Hours == 0 {
				x.Mean = float64(x.Tokens)
			}
			used := float64(x.Tokens)
			if x.Hours >= learnHours { // a spike does not become usual by itself
				used = min(used, 2*x.Mean)
			}
			x.Mean += weight * (used - x.Mean)
			x.Hours++
		}
		x.Hour, x.Tokens, x.Told = hour, 0, false
	}
	x.Tokens += tokens
	if x.Told || x.Hours < learnHours || x.Tokens < spikeFloor || float64(x.Tokens) < manyTimes*x.Mean {
		return nil
	}
	x.Told = true
	return &Spike{x.Tokens, x.Mean}
}
