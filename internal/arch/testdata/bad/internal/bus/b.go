package bus

import (
	"github.com/nats-io/nats.go"

	_ "bartizan/internal/life"
	_ "bartizan/internal/model"
)

func Conn() *nats.Conn { return nil }
