package service

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
		{Service: "redis", Call: &observe.APICall{Operation: "SLAVEOF", Args: []string{"192.0.2.9", "6379"}}},
		{Service: "ssh", Forward: &observe.Forward{Kind: "direct-tcpip", Target: "mail.example:25"}},
	} {
		telling = append(telling, detecttest.Observation(o))
	}
	detecttest.Run(t, fresh(t), telling...)
}
