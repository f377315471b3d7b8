package lake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"bartizan/internal/model"
	"bartizan/internal/obs"
	"bartizan/internal/observe"
	"bartizan/internal/ocsf"
	"bartizan/internal/safe"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxLine is the longest line that Import reads: an observation with all its evidence in base 64.
const maxLine = observe.MaxBlobs*observe.MaxBlobLen/3*4 + 1<<20

// maxBad is how many lines are reported; all are counted.
const maxBad = 100

// Imported is what Import did.
type Imported struct {
	Signals      int64     `json:"signals"`
	Observations int64     `json:"observations"`
	Lines        int64     `json:"lines"`    // read, without empty ones
	BadLines     int64     `json:"bad"`      // not imported
	Bad          []BadLine `json:"problems"` // the first of them
}

// BadLine is a line that is neither a signal nor an observation.
type BadLine struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Reason string `json:"reason"`
}

func (i *Imported) bad(file string, line int64, err error) {
	i.BadLines++
	if len(i.Bad) < maxBad {
		i.Bad = append(i.Bad, BadLine{file, line, obs.Quote([]byte(err.Error()), 300)})
	}
}

// Import reads JSON lines as the program prints them, signals (`bartizan signals --format jsonl`,
// `bartizan detect --format jsonl`) and observations, and writes them to the lake. Rows are on the disk
// when it returns. A line that is neither is reported and left out. Importing a file twice stores its rows
// twice.
func (l *Lake) Import(ctx context.Context, name string, r io.Reader, sum *Imported) error {
	in := bufio.NewReaderSize(r, 1<<16)
	signals := classOf[ocsf.Signal](l, "signal")
	var batch []observe.Observation
	for line := int64(1); ; line++ {
		text, err := readLine(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, errLong) {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err == nil && len(text) == 0 {
			continue
		}
		sum.Lines++
		var o observe.Observation
		var s model.Signal
		isSignal := false
		if err == nil {
			isSignal, err = parseLine(text, &o, &s)
		}
		switch {
		case err != nil:
			sum.bad(name, line, err)
		case isSignal:
			sum.Signals++
			l.addSignal(signals, &s)
		default:
			sum.Observations++
			batch = append(batch, o)
		}
		if len(batch) == observe.MaxBatch || line%4096 == 0 {
			l.Observations(batch)
			clear(batch)
			batch = batch[:0]
			if err := errors.Join(ctx.Err(), l.commitWaiting()); err != nil {
				return fmt.Errorf("import %s, line %d: %w", name, line, err)
			}
		}
	}
	l.Observations(batch)
	l.mu.Lock()
	signals.seal()
	l.mu.Unlock()
	if err := l.Flush(); err != nil {
		return fmt.Errorf("import %s: %w", name, err)
	}
	return nil
}

// addSignal is Observations for one signal.
func (l *Lake) addSignal(c *class[ocsf.Signal], s *model.Signal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.next(hour(ocsf.NanosOf(s.Time))).FromSignal(&l.mapper, s)
	if c.open() >= l.opt.Open {
		c.seal()
	}
}

var errLong = fmt.Errorf("longer than %d bytes", maxLine)

// readLine reads a line without its end. One that is too long is skipped to its end.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) <= maxLine {
			line = append(line, part...)
		} else {
			line = append(line[:0], make([]byte, maxLine+1)...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) && len(line) == 0 || err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		break
	}
	if len(line) > maxLine {
		return nil, errLong
	}
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r' || line[len(line)-1] == ' ') {
		line = line[:len(line)-1]
	}
	return line, nil
}

// parseLine tells signals from observations by what only they have.
func parseLine(text []byte, o *observe.Observation, s *model.Signal) (isSignal bool, err error) {
	var head struct {
		ID   string `json:"id"`
		Kind string `json:"kind"`
		Rule string `json:"rule"`
		// Only what detect prints has a target: a node's signal has an asset.
		Target jsontext.Value `json:"target"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return false, err
	}
	switch {
	case head.ID != "" && head.Kind != "" && head.Target != nil:
		if err := parseDetected(text, s); err != nil {
			return true, err
		}
		return true, s.Check()
	case head.ID != "" && head.Kind != "":
		if err := json.Unmarshal(text, s); err != nil {
			return true, err
		}
		return true, s.Check()
	case head.Kind != "":
		if err := json.Unmarshal(text, o); err != nil {
			return false, err
		}
		return false, o.Check(o.Time) // a recording may be of any age
	}
	return false, errors.New("neither a signal (id, kind) nor an observation (kind, session)")
}

// parseDetected reads a signal in the form of `bartizan detect`, which is flatter than a node's: the
// excerpt is its evidence, what was touched its target, and the file is whose word it is. What lists said
// about it is not kept: it is asked anew of the lake (`hunt --ioc`).
func parseDetected(text []byte, s *model.Signal) error {
	var d struct {
		model.Signal
		Evidence string `json:"evidence"`
		Target   struct {
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"target"`
		File   string `json:"file"`
		Record uint64 `json:"record"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return err
	}
	*s = d.Signal
	s.Asset = model.AssetRef{Kind: d.Target.Type, Name: d.Target.Value}
	if s.Sensor == "" {
		s.Sensor = "detect"
		if d.File != "" {
			s.Sensor = safe.Clean("detect "+d.File, maxSensor)
		}
	}
	if d.Evidence != "" {
		s.Evidence = []model.Evidence{{Time: s.Time, What: fmt.Sprintf("record %d", d.Record), Excerpt: d.Evidence}}
	}
	return nil
}

// maxSensor is how long the name of a sensor may be (model.Signal.Check).
const maxSensor = 128
