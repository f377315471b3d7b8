package web

import (
	"testing"

	"bartizan/internal/detect"
	"bartizan/internal/detect/detecttest"
	"bartizan/internal/observe"
)

func fresh(t testing.TB) func() detect.Detector {
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
		{Service: "http", HTTP: &observe.HTTPRequest{Method: "GET", Target: "/.env", Status: 404}},
		{Service: "http", HTTP: &observe.HTTPRequest{Method: "GET", Target: "/missing", Status: 404}},
	} {
		telling = append(telling, detecttest.Observation(o))
	}
	detecttest.Run(t, fresh(t), telling...)
}
