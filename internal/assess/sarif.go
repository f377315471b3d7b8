package assess

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"bartizan/internal/model"
)

// The parts of SARIF 2.1.0 (OASIS, 2020) that are used.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifRule struct {
		ID         string     `json:"id"`
		Short      sarifText  `json:"shortDescription"`
		Help       sarifText  `json:"help"`
		Properties sarifProps `json:"properties"`
	}
	sarifProps struct {
		Tags     []string `json:"tags"`
		Severity string   `json:"security-severity"`
	}
	sarifResult struct {
		Rule         string            `json:"ruleId"`
		Index        int               `json:"ruleIndex"`
		Kind         string            `json:"kind"`
		Level        string            `json:"level"`
		Message      sarifText         `json:"message"`
		Locations    []sarifLocation   `json:"locations"`
		Fingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region *sarifRegion `json:"region,omitempty"`
	}
	sarifRegion struct {
		Line int `json:"startLine"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
		Kind string `json:"kind"`
	}
)

// WriteSARIF writes a report as SARIF 2.1.0. What could not be looked at is a result
// of kind "open" and makes the invocation unsuccessful, so that no reader takes a
// blind run for a clean one.
func WriteSARIF(w io.Writer, version string, r Report) error {
	run := sarifRun{Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "bartizan", Version: version, Rules: []sarifRule{}}
	look := sarifInvocation{Successful: r.Blind == 0 && r.Cut == 0}
	index := map[string]int{}
	for _, f := range r.Findings {
		k, known := index[f.Rule]
		if !known {
			k = len(run.Tool.Driver.Rules)
			index[f.Rule] = k
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{f.Rule, sarifText{f.Title}, sarifText{f.Fix},
				sarifProps{append([]string{"security"}, f.Controls...), [...]string{"0.0", "3.0", "5.5", "8.0", "9.5"}[min(f.Severity, model.Critical)]}})
		}
		text := f.Title + ": " + f.Subject
		if f.Detail != "" {
			text += " (" + f.Detail + ")"
		}
		res := sarifResult{Rule: f.Rule, Index: k, Kind: "fail", Level: level(f.Severity), Message: sarifText{text}, Locations: []sarifLocation{locate(f)},
			Fingerprints: map[string]string{"bartizan/v1": f.Key}}
		switch f.State {
		case model.FindingUnknown:
			res.Kind, res.Level = "open", "none"
			look.Notifications = append(look.Notifications, sarifNotification{map[bool]string{true: "note", false: "error"}[f.Severity == model.Info], sarifText{text}, res.Locations})
		case model.FindingPass:
			res.Kind, res.Level = "pass", "none"
		}
		run.Results = append(run.Results, res)
	}
	run.Invocations = []sarifInvocation{look}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}

func level(s model.Severity) string {
	switch {
	case s >= model.High:
		return "error"
	case s == model.Medium:
		return "warning"
	}
	return "note"
}

func locate(f model.Finding) sarifLocation {
	l := sarifLocation{Logical: []sarifLogical{{f.Asset.Kind + ":" + f.Asset.Name, "module"}}}
	file, line := f.Where, 0
	if k := strings.LastIndexByte(f.Where, ':'); k > 0 {
		if n, err := strconv.Atoi(f.Where[k+1:]); err == nil {
			file, line = f.Where[:k], n
		}
	}
	if file != "" && (line > 0 || strings.ContainsAny(file, "/.")) && !slices.Contains([]byte(file), ' ') {
		l.Physical = &sarifPhysical{}
		l.Physical.Artifact.URI = file
		if line > 0 {
			l.Physical.Region = &sarifRegion{line}
		}
	}
	return l
}
