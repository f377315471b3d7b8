package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"bartizan/internal/app/intake"
	"bartizan/internal/builtin"
	"bartizan/internal/conf"
)

// checkSources checks every source and completes what it leaves out.
func (c *Config) checkSources() (errs []error) {
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		s := c.Sources[name]
		if s.From == "" {
			s.From = "tail"
		}
		if s.Format == "" {
			s.Format = AutoFormat
		}
		c.Sources[name] = s
		if !instanceName.MatchString(name) {
			errs = append(errs, c.wrong(fmt.Errorf("the name does not match %s", instanceName), "sources", name))
			continue
		}
		for key, err := range s.Check(logFormat) {
			at := []string{"sources", name}
			if key != "" {
				at = append(at, key)
			}
			errs = append(errs, c.wrong(err, at...))
		}
	}
	if c.Sigma != "" {
		if st, err := os.Stat(c.Sigma); err != nil || !st.IsDir() {
			errs = append(errs, c.wrong(fmt.Errorf("%q is not a folder that can be read", c.Sigma), "sigma"))
		}
	}
	return errs
}

// openSources builds the sources that are configured, if any.
func (n *Node) openSources(ctx context.Context) (err error) {
	c := &n.conf
	if len(c.Sources) == 0 {
		return nil
	}
	families := map[string]conf.Raw{}
	for name, raw := range c.Detect {
		if builtin.IsRecordFamily(name) {
			families[name] = raw
		}
	}
	own := make([]string, len(c.Protect.Own))
	for i, p := range c.Protect.Own {
		own[i] = p.String()
	}
	n.sources, err = intake.New(ctx, intake.Options{
		Sources: c.Sources, Formats: logFormat, Families: families, Rules: c.Rules, Own: own, Sigma: c.Sigma, Expand: c.Expand, Data: c.Data,
		Bus: n.bus, Lake: n.lake, Log: n.log, Health: n.health, Metrics: n.metrics, Publish: n.sensor.store.publish,
	})
	var wrong *intake.MistakeError
	if errors.As(err, &wrong) {
		return mistake{err}
	}
	return err
}
