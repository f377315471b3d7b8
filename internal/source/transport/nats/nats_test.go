package nats

import (
	"testing"
	"time"

	"bartizan/internal/source"
	"bartizan/internal/source/transport/transporttest"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// serve runs a real server for the test.
func serve(t *testing.T, opts server.Options) *server.Server {
	t.Helper()
	opts.NoSigs, opts.NoLog, opts.JetStream = true, true, true
	if opts.StoreDir == "" {
		opts.StoreDir = t.TempDir()
	}
	s, err := server.NewServer(&opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	return s
}

func connect(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestSubject(t *testing.T) {
	s := serve(t, server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT})
	feed, err := New(Config{URL: s.ClientURL(), Subject: "logs.>"})
	if err != nil {
		t.Fatal(err)
	}
	r := transporttest.Start(t, feed, nil)
	r.Ready()
	nc := connect(t, s.ClientURL())
	for subject, text := range map[string]string{"logs.a": "one", "logs.b.c": "two\nthree\n", "other": "four", "logs.bad": "a bad one"} {
		if err := nc.Publish(subject, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	r.Want("one", "two", "three")
	r.Await("the malformed one", func(_ []string, c source.Counts, _ string, _ error) bool { return c.Malformed == 1 })
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
}

func TestStreamGoesOn(t *testing.T) {
	s := serve(t, server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT})
	nc := connect(t, s.ClientURL())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LOGS", Subjects: []string{"logs.>"}}); err != nil {
		t.Fatal(err)
	}
	publish := func(text string) {
		t.Helper()
		if _, err := js.Publish(t.Context(), "logs.a", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	feed, err := New(Config{URL: s.ClientURL(), Subject: "logs.>", Stream: "LOGS"})
	if err != nil {
		t.Fatal(err)
	}
	publish("one\ntwo")
	r := transporttest.Start(t, feed, nil)
	r.Want("one", "two")
	if err := r.Stop(); err != nil {
		t.Error(err)
	}
	publish("three") // while nobody reads
	again := transporttest.Start(t, feed, nil)
	publish("four")
	again.Want("three", "four")
}

func TestPasswords(t *testing.T) {
	s := serve(t, server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, Username: "u", Password: "p"})
	feed, err := New(Config{URL: s.ClientURL(), Subject: "logs", User: "u"})
	if err != nil {
		t.Fatal(err)
	}
	if err := transporttest.Start(t, feed, nil).Ended(); err == nil {
		t.Error("a wrong password was no error")
	}
}

func TestConfigRefuses(t *testing.T) {
	for i, c := range []Config{
		{URL: "127.0.0.1:4222", Subject: "a"},
		{URL: "http://127.0.0.1:4222", Subject: "a"},
		{URL: "nats://u:p@127.0.0.1:4222", Subject: "a"},
		{URL: "nats://127.0.0.1:4222"},
		{URL: "nats://127.0.0.1:4222", Subject: "a b"},
		{URL: "nats://127.0.0.1:4222", Subject: "a", Stream: "a.b"},
		{URL: "nats://127.0.0.1:4222", Subject: "a", Durable: "d"},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("case %d: accepted", i)
		}
	}
}
