package app

import (
	"context"
	"os"

	"bartizan/internal/conf"
	"bartizan/internal/decide"
	"bartizan/internal/records"
	"bartizan/internal/source"
)

// AutoFormat recognises every record by its content.
const AutoFormat = records.AutoFormat

// What reading flows and logs takes and gives is package records'.
type (
	DetectRequest = records.Request
	Detected      = records.Detected
	DetectReport  = records.Report
	UnreadError   = records.UnreadError
	// Decided is what a policy made of the signals.
	Decided = records.Decision
	// DecisionReason is a signal that one rests on.
	DecisionReason = records.Reason
)

// DetectTypes lists the formats that Detect takes.
func DetectTypes() []string { return records.Types() }

// Detect reads inputs through the detectors; see records.Detect.
func Detect(ctx context.Context, q DetectRequest, found func(Detected) error) (DetectReport, error) {
	return records.Detect(ctx, q, found)
}

// DecidePolicy reads a policy for DetectRequest; an empty name is the shipped one.
func DecidePolicy(name string) (*decide.Policy, error) {
	if name == "" {
		return decide.DefaultPolicy(), nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return decide.LoadPolicy(name, text)
}

func logFormat(name string, raw conf.Raw) (source.Format, error) { return records.Format(name, raw) }
