module bartizan

go 1.26.0

require github.com/single/line v1.0.0

require (
	github.com/goccy/go-yaml v1.19.2
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/spf13/cobra v1.10.2 // indirect
	github.com/unused/indirect v1.0.0 // indirect
)
