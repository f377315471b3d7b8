package contact

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
		{Service: "tcp", Interaction: &observe.Interaction{First: []byte("OPTIONS / RTSP/1.0\r\n\r\n"), Ended: true}},
		{Service: "ssh", Interaction: &observe.Interaction{Client: "SSH-2.0-Go", Prints: observe.Fingerprints{HASSH: "92674389fa1e47a27ddd8d9b63ecd42b"}}},
	} {
		telling = append(telling, detecttest.Observation(o))
	}
	detecttest.Run(t, fresh(t), telling...)
}
