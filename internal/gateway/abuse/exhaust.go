package abuse

import "time"

// exhausting is a client that makes models work (OWASP LLM10:2025, AML.T0029, AML.T0034):
// answers that are as long as they may be, many at once, inputs that are more tokens
// than they look (sponge examples: Shumailov et al. 2021).
type exhausting struct {
	began                    time.Time
	n, long, sponges, peak   int
	usualLong, usualPeak     float64 // share of long answers and exchanges at once in windows before
	windows                  int     // before
	toldLong, toldPeak, wide bool
}

const (
	exhaustWindow = 10 * time.Minute
	longLimit     = 2048 // tokens: an answer that reaches a smaller limit costs little
	spongeBytes   = 2000
	// Tokens for each byte from which an input is a sponge: prose has about 0.25 in any script that
	// its tokeniser knows, code 0.3, base64 and hexadecimal 0.5 to 0.6, text of random symbols above 0.7.
	spongeRate = 0.65
	learnTimes = 12 // windows with use
	manyTimes  = 4  // of what is usual
)

func (x *exhausting) exhaust(e *Event, c *Config, tell func(Kind, string, ...any)) {
	if !window(&x.began, e.Time, exhaustWindow) {
		if x.n > 0 {
			weight := max(0.1, 1/float64(x.windows+1))
			x.usualLong += weight * (float64(x.long)/float64(x.n) - x.usualLong)
			x.usualPeak += weight * (float64(x.peak) - x.usualPeak)
			x.windows++
		}
		*x = exhausting{began: e.Time, usualLong: x.usualLong, usualPeak: x.usualPeak, windows: x.windows}
	}
	x.n++
	x.peak = max(x.peak, e.Exchanges)
	if e.Limit >= longLimit && e.Output >= e.Limit*95/100 {
		x.long++
	}
	if e.Bytes >= spongeBytes && e.Input > 0 && float64(e.Input) >= spongeRate*float64(e.Bytes) {
		x.sponges++
	}
	share := float64(x.long) / float64(x.n)
	if x.long >= c.LongAnswers && share >= 0.5 && !x.toldLong && (x.windows == 0 || share >= 2*x.usualLong) {
		x.toldLong = true
		tell(Exhaustion, "%d of %d answers within ten minutes are as long as they may be", x.long, x.n)
	}
	if x.sponges >= c.Sponges && !x.wide {
		x.wide = true
		tell(Exhaustion, "%d inputs within ten minutes are nearly a token for each byte", x.sponges)
	}
	most := float64(c.Concurrency)
	if x.windows < learnTimes {
		most *= manyTimes // nothing is known of what it usually does
	}
	if float64(x.peak) >= max(most, manyTimes*x.usualPeak) && !x.toldPeak {
		x.toldPeak = true
		tell(Exhaustion, "%d exchanges at once, %.0f are usual", x.peak, x.usualPeak)
	}
}
