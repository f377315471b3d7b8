// Package intel turns evidence into knowledge: it folds signals into one
// indicator per entity, with a confidence that can be explained term by term
// and that decays until the indicator removes itself. It also builds the
// look-up index over millions of prefixes, domains, URLs and hashes.
//
// It is pure and in memory: every time is passed in, nothing is read or
// written, and the state can be thrown away and rebuilt from the signals. It
// decides nothing; that is package decide.
//
// # Confidence
//
// The confidence is a posterior: the log-odds of a prior plus one summand per
// (kind, sensor). A signal of confidence c alone is worth ln(c/(1-c)), never
// less than nothing (weak evidence must not excuse anybody) and at most
// Config.MaxLLR. Within one (kind, sensor) the signal that weighs most at any
// later moment stands for all: because every piece of evidence of a class
// decays with the same half-life, which one that is does not depend on when
// one looks, and so not on the order of arrival either. Repeats add a bounded
// bonus, further kinds of the same class from the same sensor count for a
// fraction, other sensors count in full.
package intel

import (
	"errors"
	"fmt"
	"math"
	"time"

	"bartizan/internal/model"
)

// Config bounds and weighs. Use Default and change what is needed.
type Config struct {
	Prior         float64                       // chance that an unknown visitor of a decoy is hostile, 0–1 exclusive
	MaxLLR        float64                       // most that one signal adds to the log-odds, in nats
	RepeatGain    float64                       // most that repeats add, as a fraction of the signal's own weight
	RepeatDecay   float64                       // 0–1: how fast repeats stop adding; repeat n adds RepeatGain·(1-d^(n-1))
	SameClass     float64                       // weight of each further kind of one class from one sensor: its power 1, 2, …
	Related       float64                       // weight of evidence for what came with an actor, as a fraction
	HalfLife      map[model.Class]time.Duration // per class; DefaultLife for the rest
	DefaultLife   time.Duration                 // half-life of classes not listed
	SpoofableLife time.Duration                 // how long evidence that counts nothing is kept and shown
	Floor         float64                       // nats: a term below it is dead, an indicator without a live term is removed
	MaxSkew       time.Duration                 // evidence dated further ahead of the clock counts nothing
	MaxIndicators int                           // beyond it, the indicators that would expire first are evicted
	MaxBytes      int64                         // the same for the estimated memory of all of them
}

// Caps on what one indicator may hold, whatever a sensor sends.
const (
	MaxSignals    = 16 // signal ids shown
	MaxTermIDs    = 8  // signal ids remembered per (kind, sensor) to recognise a repeated delivery
	MaxTerms      = 48 // (kind, sensor) pairs
	MaxTechniques = 16
	maxTechnique  = 32 // bytes of one technique id; ATT&CK and ATLAS ids are shorter
)

// Default are the shipped values.
func Default() Config {
	const h = time.Hour
	return Config{
		Prior: 0.05, MaxLLR: math.Log(0.99 / 0.01),
		RepeatGain: 0.5, RepeatDecay: 0.7, SameClass: 0.3, Related: 0.5,
		HalfLife: map[model.Class]time.Duration{
			model.ClassContact: 2 * h, model.ClassScan: 6 * h, model.ClassProbe: 6 * h,
			model.ClassAuth: 12 * h, model.ClassSecrets: 12 * h, model.ClassProxy: 12 * h,
			model.ClassModelRecon: 12 * h, model.ClassModelAbuse: 12 * h,
			model.ClassAccess: 24 * h, model.ClassCommand: 24 * h, model.ClassPersistence: 24 * h,
			model.ClassFile: 24 * h, model.ClassExploit: 24 * h, model.ClassControl: 24 * h, model.ClassExfil: 24 * h,
		},
		DefaultLife: 6 * h, SpoofableLife: 15 * time.Minute,
		Floor: 0.25, MaxSkew: 5 * time.Minute,
		MaxIndicators: 1_000_000, MaxBytes: 1 << 30,
	}
}

// Validate says what cannot work.
func (c Config) Validate() error {
	switch {
	case !(c.Prior > 0 && c.Prior < 1):
		return fmt.Errorf("check intelligence settings: prior %v must lie between 0 and 1", c.Prior)
	case !(c.MaxLLR > 0) || !(c.Floor > 0) || c.Floor >= c.MaxLLR:
		return errors.New("check intelligence settings: 0 < floor < max_llr must hold")
	case !(c.RepeatGain >= 0) || !(c.RepeatDecay >= 0 && c.RepeatDecay <= 1) || !(c.SameClass >= 0 && c.SameClass <= 1) || !(c.Related >= 0 && c.Related <= 1):
		return errors.New("check intelligence settings: repeat_gain must not be negative; repeat_decay, same_class and related lie between 0 and 1")
	case c.DefaultLife <= 0 || c.SpoofableLife <= 0 || c.MaxSkew < 0:
		return errors.New("check intelligence settings: half-lives must be positive")
	case c.MaxIndicators < 1 || c.MaxBytes < 1:
		return errors.New("check intelligence settings: at least one indicator must fit")
	}
	for class, d := range c.HalfLife {
		if d <= 0 {
			return fmt.Errorf("check intelligence settings: half-life of %s must be positive", class)
		}
	}
	return nil
}

func (c *Config) halfLife(class model.Class) time.Duration {
	if d, ok := c.HalfLife[class]; ok {
		return d
	}
	return c.DefaultLife
}

// KnownClass reports whether the class is one this program defines. A sensor
// that invents classes must not gain independent kinds of evidence by it.
func KnownClass(c model.Class) bool {
	switch c {
	case model.ClassContact, model.ClassScan, model.ClassProbe, model.ClassAuth, model.ClassAccess,
		model.ClassCommand, model.ClassPersistence, model.ClassFile, model.ClassExploit,
		model.ClassSecrets, model.ClassProxy, model.ClassModelRecon, model.ClassModelAbuse,
		model.ClassControl, model.ClassExfil, model.ClassFlood, model.ClassReputation:
		return true
	}
	return false
}

// logit is the log-odds of a probability.
func logit(p float64) float64 { return math.Log(p / (1 - p)) }

// sigmoid is the probability of log-odds.
func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// nanos is a time as Unix nanoseconds, clamped to what 64 bits hold (1970 to
// 2262), because the times come from sensors.
func nanos(t time.Time) int64 {
	switch {
	case t.Unix() < 0:
		return 0
	case t.Unix() >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time { return time.Unix(0, n).UTC() }

// later adds without overflow.
func later(n int64, d time.Duration) int64 {
	if d > 0 && n > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return n + int64(d)
}
