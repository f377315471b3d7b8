// Package detect turns observations into signals: the contract every detector
// family keeps, and the engine that runs them.
//
// Detectors work where the observations are made, in memory bounded by their
// own configuration. They do not look anything up, decide nothing and store
// nothing; what they conclude goes out as a model.Signal.
package detect

import (
	"time"

	"bartizan/internal/model"
	"bartizan/internal/observe"
)

// Emit takes one finished conclusion. The engine fills ID, Actor, Address,
// Sensor, Asset and Time from the observation where the detector left them
// empty; Kind, Class, Rule, Title, Confidence and Severity are the detector's.
// It never blocks on anything remote and does not keep the pointer.
type Emit func(*model.Signal)

// Detector concludes things from observations. Detect is called by one
// goroutine at a time, in the order a sensor reported; it must not keep o or
// anything it points to, must not block, and must bound what it remembers per
// actor and in total (an attacker chooses how many actors there are).
type Detector interface {
	Detect(o *observe.Observation, emit Emit)
}

// Ticker is a Detector that also concludes things from time passing. Tick is
// called about once a second between calls of Detect.
type Ticker interface {
	Tick(now time.Time, emit Emit)
}
