package api

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"
)

// update writes docs/openapi.yaml: go test ./internal/api -run TestDocument -update
var update = flag.Bool("update", false, "write docs/openapi.yaml")

const documentFile = "../../docs/openapi.yaml"

func TestDocument(t *testing.T) {
	got, err := Document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(documentFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/openapi.yaml is not what the code serves: go test ./internal/api -run TestDocument -update")
	}
	for _, op := range []string{"getStatus", "listDecisions", "getDecision", "changeDecision", "verifyDecision", "replayPolicy", "listIndicators", "listSignals",
		"explain", "getEvidence", "exportEvents", "hunt", "huntIndicators", "streamEvents", "listAudit", "listTokens", "createToken", "revokeToken"} {
		if !strings.Contains(string(got), "operationId: "+op+"\n") {
			t.Errorf("no operation %s", op)
		}
	}
}
