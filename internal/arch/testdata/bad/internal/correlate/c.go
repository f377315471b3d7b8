package correlate

import (
	"sync"
	"sync/atomic"

	jetstream "github.com/nats-io/nats.go/jetstream"

	_ "bartizan/internal/decoy/ssh" // want builtin-only
	_ "bartizan/internal/detect"
	_ "bartizan/internal/enforce" // want order
)

type Public struct {
	Stream jetstream.Stream // want engine-type
	stream jetstream.Stream
}

func Use(s jetstream.Stream) {} // want engine-type
func use(s jetstream.Stream) {}

var (
	table   = map[string]int{"a": 1}
	counter int
	lock    sync.Mutex             // want mutable-global
	box     atomic.Pointer[Public] // want mutable-global
	pipe    = make(chan int)       // want mutable-global
	cache   = make(map[string]int) // want mutable-global
	other   = []int{1}
	setting = Public{}
)

func init() { // want init
	counter++ // want mutable-global
}

func change(other []int) {
	table["b"] = 2       // want mutable-global
	delete(table, "a")   // want mutable-global
	setting.stream = nil // want mutable-global
	other[0] = 2
	counter := 1
	counter++
	elsewhere = counter // want mutable-global
	var table2 int
	table2 = 1
	_ = table2
}
