package ocsf

import "bartizan/internal/observe"

// Class is one class of the lake.
type Class struct {
	Name string       // of the partition
	UID  int32        // OCSF class
	OCSF string       // OCSF class name, as in the schema's source ("network_activity")
	Kind observe.Kind // kind of observation; empty for what is none
	New  func() any   // an empty row, as a pointer: schema sample, and what to read into
}

// Classes lists the classes. A new kind of observation adds a type with
// FromObservation and Observation, and one line.
func Classes() []Class {
	return []Class{
		{"interaction", classNetwork, "network_activity", observe.KindInteraction, func() any { return new(Interaction) }},
		{"auth", classAuth, "authentication", observe.KindAuth, func() any { return new(Auth) }},
		{"command", classProcess, "process_activity", observe.KindCommand, func() any { return new(Command) }},
		{"http", classHTTP, "http_activity", observe.KindHTTP, func() any { return new(HTTP) }},
		{"file", classFile, "file_activity", observe.KindFile, func() any { return new(File) }},
		{"fetch", classNetwork, "network_activity", observe.KindFetch, func() any { return new(Fetch) }},
		{"forward", classTunnel, "tunnel_activity", observe.KindForward, func() any { return new(Forward) }},
		{"call", classAPI, "api_activity", observe.KindCall, func() any { return new(Call) }},
		{"exchange", classAPI, "api_activity", observe.KindExchange, func() any { return new(Exchange) }},
		{"flow", classNetwork, "network_activity", "", func() any { return new(Flow) }},
		{"query", classDNS, "dns_activity", "", func() any { return new(Query) }},
		{"cloudcall", classAPI, "api_activity", "", func() any { return new(CloudCall) }},
		{"message", classBase, "base_event", "", func() any { return new(Message) }},
		{"record", classBase, "base_event", "", func() any { return new(Record) }},
		{"llmcall", classAPI, "api_activity", "", func() any { return new(LLMCall) }},
		{"llmtraffic", classAPI, "api_activity", "", func() any { return new(LLMTraffic) }},
		{"signal", classDetection, "detection_finding", "", func() any { return new(Signal) }},
		{"decision", classRemediation, "remediation_activity", "", func() any { return new(Decision) }},
		{"receipt", classRemediation, "remediation_activity", "", func() any { return new(Receipt) }},
	}
}

// ClassOf finds a class by its name.
func ClassOf(name string) (Class, bool) {
	for _, c := range Classes() {
		if c.Name == name {
			return c, true
		}
	}
	return Class{}, false
}
