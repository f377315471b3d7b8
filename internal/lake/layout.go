package lake

import (
	"fmt"
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"bartizan/internal/model"
	"bartizan/internal/ocsf"
)

// Partition is one folder of files: a class and an hour.
type Partition struct {
	Class string
	Hour  time.Time // UTC, on the hour
}

const (
	suffix    = ".parquet"
	dayLayout = "2006-01-02"
	hourNanos = int64(time.Hour)
)

// hour numbers the hours since 1970, as times are stored in rows.
func hour(n ocsf.Nanos) int64 {
	h := int64(n) / hourNanos
	if int64(n)%hourNanos < 0 {
		h--
	}
	return h
}

func partition(class string, hour int64) Partition {
	return Partition{class, time.Unix(hour*3600, 0).UTC()}
}

// Dir is the partition's folder below that of the lake, with slashes.
func (p Partition) Dir() string {
	return path.Join("class="+p.Class, "day="+p.Hour.Format(dayLayout), fmt.Sprintf("hour=%02d", p.Hour.Hour()))
}

var className = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,39}$`)

// parsePartition is the way back from Dir. What it does not know is no part of the lake.
func parsePartition(class, day, hour string) (Partition, bool) {
	p, ok := Partition{}, true
	cut := func(s, key string) string {
		v, found := strings.CutPrefix(s, key+"=")
		ok = ok && found
		return v
	}
	p.Class = cut(class, "class")
	d, err := time.Parse(dayLayout, cut(day, "day"))
	h, err2 := strconv.ParseUint(cut(hour, "hour"), 10, 8)
	if !ok || err != nil || err2 != nil || h > 23 || !className.MatchString(p.Class) {
		return Partition{}, false
	}
	p.Hour = d.Add(time.Duration(h) * time.Hour)
	return p, p.Dir() == path.Join(class, day, hour)
}

// ParsePath splits the path of a file below the lake's folder. What is no data of a partition is not ok.
func ParsePath(rel string) (p Partition, name string, ok bool) {
	parts := strings.Split(rel, "/")
	if len(parts) != 4 {
		return p, "", false
	}
	p, ok = parsePartition(parts[0], parts[1], parts[2])
	return p, parts[3], ok
}

// Over says whether an hour has ended so long ago that nothing new is expected in it.
func (p Partition) Over(now time.Time) bool { return p.Hour.Add(time.Hour + settled).Before(now) }

// Generation is how often the rows of a file have been rewritten; files of other programs have none.
func (f File) Generation() (int, bool) { return generationOf(f.Name) }

// IsData says whether a name is that of a data file, and not of a record or a temporary one.
func IsData(name string) bool { return isData(name) }

var fileName = regexp.MustCompile(`^([0-7][0-9A-HJKMNP-TV-Z]{25})-([0-9]{1,4})\.parquet$`)

// newName names a file whose rows have been rewritten so often.
func newName(generation int) string {
	return model.NewULID(time.Now()).String() + "-" + strconv.Itoa(min(generation, 9999)) + suffix
}

// generationOf is the n of a name. A file of another program is never rewritten.
func generationOf(name string) (int, bool) {
	m := fileName.FindStringSubmatch(name)
	if m == nil {
		return math.MaxInt, false
	}
	n, err := strconv.Atoi(m[2])
	return n, err == nil
}

func tempName(name string) string { return "." + name + ".tmp" }

func isData(name string) bool {
	return strings.HasSuffix(name, suffix) && !strings.HasPrefix(name, ".")
}
