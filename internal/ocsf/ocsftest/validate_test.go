package ocsftest_test

import (
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"bartizan/internal/model"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"
	"bartizan/internal/ocsf/ocsftest"
)

// sample is a valid event of a class.
func sample(t *testing.T, class string) string {
	at := time.Unix(1790000000, 123456789).UTC()
	m := &ocsf.Mapper{Product: "v1"}
	o := observe.Observation{Time: at, Session: model.ULID{1}, Sensor: "s", Decoy: "d", Service: "x",
		Local: netip.MustParseAddrPort("192.0.2.7:22"), Remote: netip.MustParseAddrPort("198.51.100.7:4000"),
		Interaction: &observe.Interaction{Ended: true, Prints: observe.Fingerprints{JA4: "t13d1516h2_8daaf6152771_e5627efa2ab1"}},
		Auth:        &observe.AuthAttempt{Method: "password", User: "root"},
		HTTP:        &observe.HTTPRequest{Method: "GET", Target: "/", Status: 200, Headers: []observe.Field{{Name: "A", Value: "b"}}},
		File:        &observe.FileEvent{Path: "/tmp/x", SHA256: strings.Repeat("a", 64)},
		Exchange:    &observe.Exchange{API: "ollama", Model: "m", Key: "sk-..."},
	}
	c, ok := ocsf.ClassOf(class)
	if !ok {
		t.Fatalf("no class %s", class)
	}
	row := c.New()
	switch r := row.(type) {
	case ocsf.ObservationRow:
		r.FromObservation(m, &o)
	case *ocsf.Decision:
		r.FromEntry(m, 1, &model.Entry{Change: model.ChangeDecide, Time: at, Decision: &model.Decision{ID: model.ULID{2}, Action: model.Block, Policy: "p", Reason: "r"}})
	case *ocsf.Signal:
		r.FromSignal(m, &model.Signal{ID: model.ULID{3}, Time: at, Kind: "k", Techniques: []string{"T1110.001"}, Count: 1, Actor: model.AddrEntity(o.Remote.Addr())})
	}
	b, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestRefuses: each wrong event differs from a valid one in one place.
func TestRefuses(t *testing.T) {
	schema := ocsftest.Load(t)
	cases := []struct{ class, old, new, want string }{
		{"interaction", `"time":1790000000123,`, ``, "time: required"},
		{"interaction", `"metadata":{"version":"1.8.0",`, `"metadata":{`, "metadata.version: required"},
		{"interaction", `"direction_id":1`, `"protocol_num":6`, "connection_info.direction_id: required"},
		{"interaction", `"severity_id":1`, `"severity_id":7`, `severity_id: "7" is not one of`},
		{"interaction", `"severity_id":1`, `"severity_id":"1"`, "severity_id: 1 is not of type integer_t"},
		{"interaction", `"severity_id":1`, `"severity_id":1.5`, "severity_id: 1.5 is not of type integer_t"},
		{"interaction", `"severity_id":1`, `"severity_id":1,"severity":"Low"`, `severity is "Low", the schema's caption is "Informational"`},
		{"interaction", `"severity_id":1`, `"severity_id":99`, "severity_id: 99 needs severity"},
		{"interaction", `"severity_id":1`, `"severity_id":1,"colour":"red"`, "colour: network_activity has no such attribute"},
		{"interaction", `"ip":"198.51.100.7"`, `"ip":"198.51.100.7","colour":1`, "src_endpoint.colour: network_endpoint has no such attribute"},
		{"interaction", `"ip":"198.51.100.7"`, `"ip":"nobody"`, `"nobody" is not of type ip_t`},
		{"interaction", `"ip":"198.51.100.7"`, `"ip":"fe80::1%` + strings.Repeat("x", 40) + `"`, "characters, at most 40"},
		{"interaction", `"ip":"198.51.100.7",`, ``, "src_endpoint: network_endpoint needs at least one of"},
		{"interaction", `"port":4000`, `"port":70000`, "src_endpoint.port: 70000 is not in 0–65535"},
		{"interaction", `"profiles":["datetime"]`, `"profiles":[]`, "time_dt: needs profile datetime"},
		{"interaction", `"profiles":["datetime"]`, `"profiles":["datetime","incident"]`, `does not have profile "incident"`},
		{"interaction", `"profiles":["datetime"]`, `"profiles":"datetime"`, "metadata.profiles: array: false"},
		{"interaction", `"time_dt":"2026-09-21T14:13:20.123456789Z"`, `"time_dt":"yesterday"`, "is not of type datetime_t"},
		{"interaction", `"type_uid":400102`, `"type_uid":400101`, "type_uid: 400101 is not class_uid × 100 + activity_id"},
		{"interaction", `"category_uid":4`, `"category_uid":3`, `category_uid: "3" is not one of`},
		{"interaction", `"class_uid":4001`, `"class_uid":4999`, "class_uid 4999 is no class"},
		{"interaction", `"class_uid":4001`, `"class_uid":4001,"class_uid":4001`, "not valid JSON"},
		{"interaction", `"unmapped":{`, `"unmapped":[{`, "not valid JSON"},
		{"interaction", `"severity_id":1`, `"severity_id":null`, "is not of type integer_t"},
		{"interaction", `"severity_id":1`, `"severity_id":1,"policy":{"name":"p"}`, "policy: needs profile security_control"},
		{"interaction", `"severity_id":1`, `"severity_id":1,"is_src_dst_assignment_known":true`, "is deprecated"},
		{"interaction", `"type_id":1,"value":"t13`, `"value":"t13`, "ja4_fingerprint_list[0].type_id: required"},
		{"auth", `"user":{"name":"root"},`, ``, "user: required"},
		{"auth", `"name":"root"`, `"type_id":1`, "user: user needs at least one of"},
		{"auth", `"auth_protocol":"password",`, ``, "auth_protocol_id: 99 needs auth_protocol"},
		{"http", `"http_method":"GET"`, `"http_method":"GRAB"`, `http_request.http_method: "GRAB" is not one of`},
		{"http", `{"code":200}`, `{}`, "http_response.code: required"},
		{"http", `{"name":"A","value":"b"}`, `{"name":"A"}`, "http_headers[0].value: required"},
		{"file", `"type_id":1,`, ``, "file.type_id: required"},
		{"file", `"algorithm_id":3`, `"algorithm_id":77`, `hashes[0].algorithm_id: "77" is not one of`},
		{"exchange", `"ai_provider":"ollama"`, `"version":"1"`, "ai_model.ai_provider: required"},
		{"exchange", `"ai_operation"`, `"cloud"`, "ai_model: needs profile ai_operation"},
		{"signal", `"uid":"`, `"colour":"`, "has no such attribute"},
		{"signal", `"technique":{"uid":"T1110"}`, `"technique":{}`, "technique needs at least one of"},
		{"decision", `"command_uid":"`, `"status":"`, "command_uid: required"},
		{"decision", `"disposition_id":2`, `"disposition_id":98`, `disposition_id: "98" is not one of`},
	}
	const least = 40
	if len(cases) < least {
		t.Fatalf("%d cases, at least %d", len(cases), least)
	}
	for _, c := range cases {
		good := sample(t, c.class)
		schema.Check(t, []byte(good))
		bad := strings.Replace(good, c.old, c.new, 1)
		if bad == good {
			t.Errorf("%s: %q is not in %s", c.class, c.old, good)
			continue
		}
		err := schema.Validate([]byte(bad))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q for %q: got %v, want %q", c.class, c.new, c.old, err, c.want)
		}
	}
}

// TestCompiled: inheritance, includes and the other files have arrived.
func TestCompiled(t *testing.T) {
	schema := ocsftest.Load(t)
	if schema.Classes() < 70 || schema.Version == "" {
		t.Errorf("%d classes of version %q", schema.Classes(), schema.Version)
	}
	have := strings.Join(schema.Attributes(4001), " ")
	for _, name := range []string{"src_endpoint", "metadata", "cloud", "ai_model", "unmapped", "url"} {
		if !strings.Contains(" "+have+" ", " "+name+" ") {
			t.Errorf("network_activity has no %s: %s", name, have)
		}
	}
	if _, err := ocsftest.Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there opens")
	}
}
