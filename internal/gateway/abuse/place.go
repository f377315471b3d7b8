package abuse

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// habit is where and when a key is used.
type habit struct {
	First    int64       `json:"first"`    // Unix seconds
	N        int         `json:"n"`        // requests
	Prefixes []seen      `json:"prefixes"` // the newest maxPrefixes
	Agents   []seen      `json:"agents"`
	NewP     int         `json:"new_prefixes"` // how often one was new
	NewA     int         `json:"new_agents"`
	Hours    [168]uint16 `json:"hours"` // of the week, UTC
	Told     int64       `json:"told"`  // Unix seconds of the last alarm
	Listed   int64       `json:"lists"` // Unix seconds of the last day on which it was told that it goes through a list
	Days     int         `json:"days"`  // with prompts
	Mean     float64     `json:"mean"`  // prompts of such a day, weighted towards the newest
	Last     int64       `json:"last"`
}

type seen struct {
	What string `json:"what"`
	Last int64  `json:"last"`
}

const (
	maxPrefixes = 32
	maxAgents   = 8
	tellEvery   = 3600 // seconds
	maxAgent    = 120  // bytes of a User-Agent
	maxHour     = 2    // powers of ten that an unusual hour adds at most
)

// habit finds or makes the habits of a key; of a few, the longest unused one makes room.
func (w *Watch) habit(e *Event) *habit {
	h := w.habits[e.Key]
	if h == nil {
		if len(w.habits) >= maxKeys {
			oldest, looked := "", 0
			for k, x := range w.habits { // in random order
				if oldest == "" || x.Last < w.habits[oldest].Last {
					oldest = k
				}
				if looked++; looked == 16 {
					break
				}
			}
			delete(w.habits, oldest)
		}
		h = &habit{First: e.Time.Unix()}
		w.habits[e.Key] = h
	}
	h.Last = e.Time.Unix()
	return h
}

// place tells of a key that turns up where it would not be expected. How unlikely
// that is, is counted from the key itself: one that was new in a place n times in N requests
// is so in the next with a chance of about (n+1)/(N+2) (Laplace). A place, a program and
// an hour that are all unlikely multiply. So a server's key is at home in one network and a
// traveller's in none, without anybody saying which is which.
func (h *habit) place(e *Event, c *Config, tell func(Kind, string, ...any)) {
	now := e.Time.Unix()
	where, agent := prefix(e.Peer), family(e.Agent)
	hour := (int(e.Time.UTC().Weekday())*24 + e.Time.UTC().Hour()) % 168
	newPlace, newAgent := known(&h.Prefixes, where, now, maxPrefixes), known(&h.Agents, agent, now, maxAgents)
	if newPlace && h.N >= c.Requests && now-h.First >= int64(c.Learn.D()/time.Second) {
		surprise := chance(h.NewP, h.N)
		if newAgent {
			surprise += chance(h.NewA, h.N)
		}
		surprise += h.odd(hour)
		if surprise >= c.Surprise && now-h.Told >= tellEvery {
			h.Told = now
			program := "its usual program"
			if newAgent {
				program = "a new program"
			}
			tell(NewPlace, "the key was used from %d networks in %d requests, and now from another with %s: one in 10^%.1f", h.NewP, h.N, program, surprise)
		}
	}
	if newPlace {
		h.NewP++
	}
	if newAgent {
		h.NewA++
	}
	h.N++
	if h.Hours[hour]++; h.Hours[hour] == math.MaxUint16 {
		for i := range h.Hours {
			h.Hours[i] /= 2
		}
	}
}

// chance is how unlikely something new is that was new n times in total, in powers of ten.
func chance(n, total int) float64 { return math.Log10(float64(total+2) / float64(n+1)) }

// odd is how much less than its share an hour of the week and its neighbours are used.
func (h *habit) odd(hour int) float64 {
	all, near := 0, 0
	for i, n := range h.Hours {
		all += int(n)
		if d := (i - hour + 168) % 168; d <= 1 || d == 167 {
			near += int(n)
		}
	}
	return min(max(math.Log10(3.0/168/(float64(near+1)/float64(all+168))), 0), maxHour)
}

// known tells whether a value is new, and remembers it.
func known(list *[]seen, what string, now int64, most int) (fresh bool) {
	for i := range *list {
		if (*list)[i].What == what {
			(*list)[i].Last = now
			return false
		}
	}
	if len(*list) >= most {
		i := 0
		for j := range *list {
			if (*list)[j].Last < (*list)[i].Last {
				i = j
			}
		}
		*list = slices.Delete(*list, i, i+1)
	}
	*list = append(*list, seen{what, now})
	return true
}

// family is a User-Agent without its numbers: an update is no other program.
func family(agent string) string {
	agent = cmp.Or(agent, "none")
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r >= '0' && r <= '9' || r == '.' {
			return -1
		}
		return r
	}, agent[:min(len(agent), maxAgent)]), "")
}
