package app

import (
	"context"

	"bartizan/internal/conf"
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
)

// DetectTypes lists the formats that Detect takes.
func DetectTypes() []string { return records.Types() }

// Detect reads inputs through the detectors; see records.Detect.
func Detect(ctx context.Context, q DetectRequest, found func(Detected) error) (DetectReport, error) {
	return records.Detect(ctx, q, found)
}

func logFormat(name string, raw conf.Raw) (source.Format, error) { return records.Format(name, raw) }
