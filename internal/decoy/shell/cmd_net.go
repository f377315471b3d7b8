package shell

import (
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"time"
)

func networkCommands() map[string]commandFunc {
	return map[string]commandFunc{
		"ifconfig": cmdIfconfig, "ip": cmdIP, "netstat": cmdNetstat, "ss": cmdNetstat, "route": cmdRoute, "arp": cmdArp,
		"ping": cmdPing, "ping6": cmdPing, "traceroute": cmdPing, "nslookup": cmdDNS, "dig": cmdDNS, "host": cmdDNS,
		"wget": cmdWget, "curl": cmdCurl, "tftp": cmdTftp, "ftpget": cmdFtpget, "ftp": cmdFtpget, "ftpput": cmdFtpget, "lwp-download": cmdWget,
		"aria2c": cmdWget, "scp": cmdScp, "sftp": cmdRemote, "ssh": cmdRemote, "telnet": cmdRemote, "nc": cmdRemote, "netcat": cmdRemote,
		"ncat": cmdRemote, "rsync": cmdRemote, "ssh-keygen": cmdSSHKeygen, "iptables": cmdIptables, "ip6tables": cmdIptables, "ufw": cmdUfw,
		"nft": cmdUfw, "tcpdump": cmdTcpdump,
	}
}

// hostOf names the host of a URL for messages.
func hostOf(raw string) (host, port string) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return clip(raw, 255), "80"
	}
	host, port = u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "ftp": "21"}[u.Scheme]
		if port == "" {
			port = "80"
		}
	}
	return host, port
}

func isIP(h string) bool {
	return strings.Trim(h, "0123456789.") == "" && strings.Count(h, ".") == 3 || strings.Contains(h, ":")
}

// fake address a host name "resolves" to: stable and in a documentation range.
func (s *Shell) resolve(host string) string {
	if isIP(host) {
		return host
	}
	d := s.p.Derive("dns "+clip(strings.ToLower(host), 255), 2)
	return fmt.Sprintf("203.0.113.%d", 1+int(d[0])%254)
}

func cmdWget(c *call) int {
	o := c.flags("qO:P:ct:T:U:bvSNri:e:o:nHd", "tries=", "timeout=", "user-agent=", "output-document=", "header=", "post-data=", "directory-prefix=")
	if o.has("version") {
		c.printf("GNU Wget %s built on linux-gnu.\n", c.sh.p.Versions.Wget)
		return 0
	}
	if len(o.rest) == 0 {
		if c.sh.img != nil && len(c.args) == 0 {
			fmt.Fprint(c.err, "wget: missing URL\nUsage: wget [OPTION]... [URL]...\n\nTry `wget --help' for more options.\n")
			return 1
		}
		return 2
	}
	quiet := o.has("q")
	say := func(format string, a ...any) {
		if !quiet {
			fmt.Fprintf(c.err, format, a...)
		}
	}
	for _, raw := range o.rest {
		u := raw
		if !strings.Contains(u, "://") {
			u = "http://" + u
		}
		c.sh.recordDownload(u, "wget")
		host, port := hostOf(u)
		at := c.sh.resolve(host)
		say("--%s--  %s\n", c.sh.now().UTC().Format("2006-01-02 15:04:05"), clip(u, 2000))
		if at != host {
			say("Resolving %s (%s)... %s\n", host, host, at)
			say("Connecting to %s (%s)|%s|:%s... ", host, host, at, port)
		} else {
			say("Connecting to %s:%s... ", host, port)
		}
		c.sh.sleep(2 * time.Second)
		say("failed: Connection timed out.\nGiving up.\n\n")
	}
	return 4
}

func cmdCurl(c *call) int {
	o := c.flags("sSLkfo:OX:d:H:A:u:m:iIvx:e:T:F:#gb:c:r:w:NG46", "connect-timeout=", "max-time=", "output=", "request=", "data=", "header=", "user-agent=", "retry=", "url=", "data-raw=", "data-binary=", "proxy=")
	v := c.sh.p.Versions.Curl
	if o.has("version", "V") {
		c.printf("curl %s (x86_64-pc-linux-gnu) libcurl/%s OpenSSL/%s zlib/1.2.13\n", v, v, c.sh.p.Versions.OpenSSL)
		return 0
	}
	urls := o.rest
	if u := o.get("url"); u != "" {
		urls = append(urls, u)
	}
	if len(urls) == 0 {
		fmt.Fprint(c.err, "curl: try 'curl --help' or 'curl --manual' for more information\n")
		return 2
	}
	code := 0
	for _, raw := range urls {
		u := raw
		if !strings.Contains(u, "://") {
			u = "http://" + u
		}
		c.sh.recordDownload(u, "curl")
		host, port := hostOf(u)
		c.sh.sleep(2 * time.Second)
		if o.has("s", "silent") && !o.has("S", "show-error") {
			code = 28
			continue
		}
		if !o.has("s", "silent") && !c.outTTY() {
			fmt.Fprint(c.err, "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n                                 Dload  Upload   Total   Spent    Left  Speed\n\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0\r  0     0    0     0    0     0      0      0 --:--:--  0:02:10 --:--:--     0\n")
		}
		fmt.Fprintf(c.err, "curl: (28) Failed to connect to %s port %s after 130271 ms: Couldn't connect to server\n", host, port)
		code = 28
	}
	return code
}

func cmdTftp(c *call) int {
	o := c.flags("+gpr:l:c:b:v")
	host, file := "", o.get("r")
	rest := o.rest
	// tftp-hpa style: tftp host -c get file; busybox style: tftp -g -r file host
	for i, a := range c.args {
		if a == "-r" && i+1 < len(c.args) {
			file = c.args[i+1]
		}
		if a == "get" && i+1 < len(c.args) {
			file = c.args[i+1]
		}
	}
	for i, a := range rest {
		if !strings.HasPrefix(a, "-") && (i == 0 || rest[i-1] != "-r" && rest[i-1] != "-l") && a != "get" && a != file {
			host = a
			break
		}
	}
	if host == "" && c.args != nil {
		c.print("usage: tftp [-v][-l][-m mode] [host [port]] [-c command]\n")
		return 1
	}
	c.sh.recordDownload("tftp://"+host+"/"+strings.TrimPrefix(file, "/"), "tftp")
	c.sh.sleep(2 * time.Second)
	fmt.Fprint(c.err, "tftp: timeout\n")
	return 1
}

func cmdFtpget(c *call) int {
	o := c.flags("u:p:P:vcn")
	if len(o.rest) == 0 {
		if c.name == "ftp" {
			return 0
		}
		fmt.Fprintf(c.err, "Usage: %s [-cv] [-u USER] [-p PASS] HOST LOCAL REMOTE\n", c.name)
		return 1
	}
	remote := o.rest[len(o.rest)-1]
	if len(o.rest) == 1 {
		remote = ""
	}
	u := url.URL{Scheme: "ftp", Host: o.rest[0], Path: "/" + strings.TrimPrefix(remote, "/")}
	if o.has("u") {
		u.User = url.UserPassword(o.get("u"), o.get("p"))
	}
	c.sh.recordDownload(u.String(), c.name)
	c.sh.sleep(2 * time.Second)
	return c.fail(1, "can't connect to remote host (%s): Connection timed out", o.rest[0])
}

// cmdRemote covers the clients that would open a connection.
func cmdRemote(c *call) int {
	o := c.flags("+p:l:i:o:vlnze:w:uqTNfCAat4L:R:D:F:", "rsh=")
	rest := o.rest
	if c.name == "ssh" && o.has("V") || len(c.args) > 0 && c.args[0] == "-V" {
		fmt.Fprintf(c.err, "%s\n", c.sh.p.SSH.OpenSSL)
		return 0
	}
	if len(rest) == 0 {
		if o.has("l") && (c.name == "nc" || c.name == "ncat" || c.name == "netcat") {
			c.sh.sleep(10 * time.Second)
			return 1
		}
		fmt.Fprintf(c.err, "usage: %s [options] destination [command]\n", c.name)
		return 255
	}
	host, port := rest[0], ""
	if len(rest) > 1 && strings.Trim(rest[1], "0123456789") == "" {
		port = rest[1]
	}
	target := host
	if at := strings.LastIndexByte(target, '@'); at >= 0 {
		target = target[at+1:]
	}
	target, _, _ = strings.Cut(target, ":")
	if port == "" {
		port = map[string]string{"ssh": "22", "telnet": "23", "sftp": "22", "rsync": "873"}[c.name]
		if p := o.get("p"); p != "" {
			port = p
		}
	}
	scheme := map[string]string{"ssh": "ssh", "sftp": "sftp", "telnet": "telnet", "rsync": "rsync"}[c.name]
	if scheme == "" {
		scheme = "tcp"
	}
	c.sh.recordDownload(scheme+"://"+host+":"+port, c.name)
	c.sh.sleep(2 * time.Second)
	switch c.name {
	case "ssh", "sftp":
		fmt.Fprintf(c.err, "ssh: connect to host %s port %s: Connection timed out\n", target, port)
		return 255
	case "telnet":
		c.printf("Trying %s...\n", c.sh.resolve(target))
		fmt.Fprint(c.err, "telnet: Unable to connect to remote host: Connection timed out\n")
		return 1
	case "rsync":
		fmt.Fprintf(c.err, "rsync: failed to connect to %s: Connection timed out (110)\n", target)
		return 10
	}
	if o.has("v") {
		fmt.Fprintf(c.err, "nc: connect to %s port %s (tcp) failed: Connection timed out\n", target, port)
	}
	return 1
}

// cmdScp speaks the remote side of the old scp protocol (-t sink, -f source),
// which is how files are dropped over an exec request.
func cmdScp(c *call) int {
	o := c.flags("trfpdqvCBP:i:o:l:")
	if len(o.rest) == 0 {
		fmt.Fprint(c.err, "usage: scp [-346ABCpqrTv] [-i identity_file] source ... target\n")
		return 1
	}
	switch {
	case o.has("t"):
		return c.scpSink(o.rest[0], 0)
	case o.has("f"):
		return c.scpSource(o.rest[0])
	}
	for _, a := range o.rest {
		if strings.Contains(a, ":") {
			c.sh.recordDownload("scp://"+a, "scp")
			c.sh.sleep(2 * time.Second)
			h, _, _ := strings.Cut(a[strings.LastIndexByte(a, '@')+1:], ":")
			fmt.Fprintf(c.err, "ssh: connect to host %s port 22: Connection timed out\nlost connection\n", h)
			return 1
		}
	}
	return cmdCp(c)
}

func (c *call) scpSink(target string, depth int) int {
	ack := func() { c.print("\x00") }
	bad := func(msg string) int { c.print("\x01scp: " + msg + "\n"); return 1 }
	ack()
	status := 0
	for !c.sh.dead() {
		line, err := c.readLine(c.in, false)
		if err != nil || line == "" {
			return status
		}
		switch line[0] {
		case 'T':
			ack()
			continue
		case 'E':
			ack()
			return status
		case 'C', 'D':
		default:
			return bad("protocol error: unexpected message")
		}
		var mode uint32
		var size int64
		f := strings.SplitN(line[1:], " ", 3)
		if len(f) < 3 {
			return bad("protocol error: mode not delimited")
		}
		if _, err := fmt.Sscanf(f[0]+" "+f[1], "%o %d", &mode, &size); err != nil || size < 0 {
			return bad("protocol error: bad mode or size")
		}
		name := path.Base("/" + f[2])
		dst := c.into(name, target)
		if line[0] == 'D' {
			err := c.locked(func(fs *FS) error {
				_, err := fs.add(c.e.abs(dst), &node{mode: modeDir | mode&0o777})
				return err
			})
			if err != nil && err != errExist || depth > 16 {
				return bad(dst + ": " + fmt.Sprint(err))
			}
			status = max(status, c.scpSink(dst, depth+1))
			continue
		}
		ack()
		body := c.readAll(io.LimitReader(c.in, min(size, c.sh.limits.FileBytes)))
		io.CopyN(io.Discard, c.in, size-int64(len(body))) // what is beyond the limit is not kept
		c.in.ReadByte()                                   // the sender's final status byte
		if err := c.sh.store(c.e.abs(dst), body, mode&0o777, "scp"); err != nil {
			status = bad(dst + ": " + err.Error())
			continue
		}
		ack()
	}
	return status
}

func (c *call) scpSource(p string) int {
	b, err := c.sh.fs.slurp(c.e.abs(p))
	if err != nil {
		c.printf("\x01scp: %s: %s\n", p, err)
		return 1
	}
	n, _, _ := c.node(p, true)
	c.in.ReadByte() // the receiver says that it is ready
	c.printf("C%04o %d %s\n", n.mode&0o777, len(b), path.Base(p))
	c.in.ReadByte()
	c.out.Write(b)
	c.print("\x00")
	c.in.ReadByte()
	return 0
}

func cmdIfconfig(c *call) int {
	for i, n := range c.sh.p.Interfaces {
		if len(c.args) > 0 && c.args[0] != "-a" && c.args[0] != n.Name {
			continue
		}
		rx, tx := traffic(c.sh.p, c.sh.now(), i+1)
		mask := "255.255.255.0"
		bcast := strings.TrimSuffix(n.Addr.Addr().String(), lastOctet(n.Addr.Addr().String())) + "255"
		if n.Addr.Bits() == 16 {
			mask, bcast = "255.255.0.0", "172.17.255.255"
		}
		c.printf("%s: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 1500\n        inet %s  netmask %s  broadcast %s\n        inet6 %s  prefixlen 64  scopeid 0x20<link>\n        ether %s  txqueuelen 1000  (Ethernet)\n        RX packets %d  bytes %d (%s)\n        RX errors 0  dropped 0  overruns 0  frame 0\n        TX packets %d  bytes %d (%s)\n        TX errors 0  dropped 0 overruns 0  carrier 0  collisions 0\n\n",
			n.Name, n.Addr.Addr(), mask, bcast, n.V6, n.MAC, rx/731, rx, siUnit(rx, 1024), tx/512, tx, siUnit(tx, 1024))
	}
	if len(c.args) == 0 || c.args[0] == "-a" || c.args[0] == "lo" {
		rx, _ := traffic(c.sh.p, c.sh.now(), 0)
		c.printf("lo: flags=73<UP,LOOPBACK,RUNNING>  mtu 65536\n        inet 127.0.0.1  netmask 255.0.0.0\n        inet6 ::1  prefixlen 128  scopeid 0x10<host>\n        loop  txqueuelen 1000  (Local Loopback)\n        RX packets %d  bytes %d (%s)\n        TX packets %d  bytes %d (%s)\n\n", rx/512, rx, siUnit(rx, 1024), rx/512, rx, siUnit(rx, 1024))
	}
	return 0
}

func lastOctet(ip string) string { return ip[strings.LastIndexByte(ip, '.')+1:] }

func cmdIP(c *call) int {
	o := c.flags("46brosdnc")
	what := "help"
	if len(o.rest) > 0 {
		what = o.rest[0]
	}
	p := c.sh.p
	switch {
	case strings.HasPrefix("address", what), strings.HasPrefix("link", what):
		c.print("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n")
		if what[0] == 'a' {
			c.print("    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n    inet6 ::1/128 scope host \n       valid_lft forever preferred_lft forever\n")
		}
		for i, n := range p.Interfaces {
			c.printf("%d: %s: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UP group default qlen 1000\n    link/ether %s brd ff:ff:ff:ff:ff:ff\n", i+2, n.Name, n.MAC)
			if what[0] == 'a' {
				c.printf("    inet %s scope global %s\n       valid_lft forever preferred_lft forever\n    inet6 %s/64 scope link \n       valid_lft forever preferred_lft forever\n", n.Addr, n.Name, n.V6)
			}
		}
	case strings.HasPrefix("route", what):
		i := p.Interfaces[0]
		c.printf("default via %s dev %s proto dhcp src %s metric 100 \n%s dev %s proto kernel scope link src %s \n172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1 \n", p.Gateway, i.Name, i.Addr.Addr(), i.Addr.Masked(), i.Name, i.Addr.Addr())
	case strings.HasPrefix("neighbour", what):
		c.printf("%s dev %s lladdr %s REACHABLE\n", p.Gateway, p.Interfaces[0].Name, c.gatewayMAC())
	default:
		fmt.Fprint(c.err, "Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }\n")
		return 255
	}
	return 0
}

func (c *call) gatewayMAC() string {
	d := c.sh.p.Derive("gateway mac", 4)
	return fmt.Sprintf("fe:00:%02x:%02x:%02x:%02x", d[0], d[1], d[2], d[3])
}

func cmdNetstat(c *call) int {
	flags := strings.Join(c.args, "")
	p := c.sh.p
	local := p.Interfaces[0].Addr.Addr().String() + ":22"
	peer := c.sh.remote() + ":" + itoa(40000+c.sh.pid%20000)
	if c.name == "netstat" && strings.Contains(flags, "r") {
		return cmdRoute(c)
	}
	if c.name == "ss" {
		c.print("State   Recv-Q  Send-Q   Local Address:Port    Peer Address:Port Process\n")
		for _, k := range p.Sockets {
			if strings.ContainsAny(flags, "la") {
				proc := fmt.Sprintf("users:((\"%s\",pid=%d,fd=3))", k.Program, k.PID)
				if !strings.Contains(flags, "p") {
					proc = ""
				}
				c.printf("LISTEN  0       128      %20s         %s:*  %s\n", k.Addr, map[bool]string{true: "[::]", false: "0.0.0.0"}[k.Proto == "tcp6"], proc)
			}
		}
		c.printf("ESTAB   0       36       %20s %20s\n", local, peer)
		return 0
	}
	head := "Proto Recv-Q Send-Q Local Address           Foreign Address         State      "
	withPID := strings.Contains(flags, "p")
	if withPID {
		head += " PID/Program name    "
	}
	c.printf("Active Internet connections (%s)\n%s\n", map[bool]string{true: "servers and established", false: "w/o servers"}[strings.ContainsAny(flags, "la")], head)
	row := func(proto, a, b, state, prog string) {
		if !withPID {
			prog = ""
		}
		c.printf("%-5s      0      0 %-23s %-23s %-11s %s\n", proto, strings.Replace(a, "[::]", "::", 1), b, state, prog)
	}
	if strings.ContainsAny(flags, "la") {
		for _, k := range p.Sockets {
			row(k.Proto, k.Addr, map[bool]string{true: ":::*", false: "0.0.0.0:*"}[k.Proto == "tcp6"], "LISTEN", fmt.Sprintf("%d/%s", k.PID, k.Program))
		}
	}
	if !strings.Contains(flags, "l") {
		row("tcp", local, peer, "ESTABLISHED", itoa(c.sh.pid-4)+"/sshd: "+c.sh.who.name)
	}
	return 0
}

func cmdRoute(c *call) int {
	i := c.sh.p.Interfaces[0]
	c.printf("Kernel IP routing table\nDestination     Gateway         Genmask         Flags Metric Ref    Use Iface\n%-15s %-15s 0.0.0.0         UG    100    0        0 %s\n%-15s 0.0.0.0         255.255.255.0   U     100    0        0 %s\n172.17.0.0      0.0.0.0         255.255.0.0     U     0      0        0 docker0\n", "0.0.0.0", c.sh.p.Gateway, i.Name, i.Addr.Masked().Addr(), i.Name)
	return 0
}

func cmdArp(c *call) int {
	c.printf("Address                  HWtype  HWaddress           Flags Mask            Iface\n%-24s ether   %s   C                     %s\n", c.sh.p.Gateway, c.gatewayMAC(), c.sh.p.Interfaces[0].Name)
	return 0
}

func cmdPing(c *call) int {
	o := c.flags("c:W:w:i:s:qn46I:t:m:f")
	if len(o.rest) == 0 {
		fmt.Fprintf(c.err, "%s: usage error: Destination address required\n", c.name)
		return 2
	}
	host := o.rest[0]
	n := 4
	if o.has("c") {
		n = max(1, min(clampInt(o.get("c"), 10), 10))
	}
	c.sh.recordDownload("icmp://"+host, c.name)
	c.printf("PING %s (%s) 56(84) bytes of data.\n", host, c.sh.resolve(host))
	c.sh.sleep(time.Duration(n) * time.Second)
	c.printf("\n--- %s ping statistics ---\n%d packets transmitted, 0 received, 100%% packet loss, time %dms\n\n", host, n, (n-1)*1024)
	return 1
}

func cmdDNS(c *call) int {
	var name string
	for _, a := range c.args {
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") && !strings.HasPrefix(a, "@") {
			name = a
			break
		}
	}
	if name == "" {
		return 1
	}
	c.sh.recordDownload("dns://"+name, c.name)
	c.sh.sleep(2 * time.Second)
	switch c.name {
	case "dig":
		c.printf("\n; <<>> DiG 9.18.28 <<>> %s\n;; global options: +cmd\n;; no servers could be reached\n\n", name)
		return 9
	case "host":
		c.print(";; connection timed out; no servers could be reached\n")
	default:
		c.print(";; connection timed out; no servers could be reached\n\n")
	}
	return 1
}

func cmdSSHKeygen(c *call) int {
	o := c.flags("t:f:N:C:b:qylRP:")
	f := o.get("f")
	if f == "" {
		f = c.sh.who.home + "/.ssh/id_rsa"
	}
	if o.has("l", "y", "R") {
		return c.fail(255, "%s: No such file or directory", f)
	}
	key := c.token(68)
	if c.sh.store(c.e.abs(f), []byte("-----BEGIN OPENSSH PRIVATE KEY-----\n"+c.token(70)+"\n"+c.token(70)+"\n-----END OPENSSH PRIVATE KEY-----\n"), 0o600, "ssh-keygen") != nil {
		return c.fail(1, "Saving key \"%s\" failed: No such file or directory", f)
	}
	c.sh.store(c.e.abs(f+".pub"), []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"+key[:43]+" "+c.sh.who.name+"@"+c.sh.hostname()+"\n"), 0o644, "ssh-keygen")
	if !o.has("q") {
		c.printf("Generating public/private %s key pair.\nYour identification has been saved in %s\nYour public key has been saved in %s.pub\nThe key fingerprint is:\nSHA256:%s %s@%s\n", map[bool]string{true: "rsa", false: o.get("t")}[o.get("t") == ""], f, f, key[:43], c.sh.who.name, c.sh.hostname())
	}
	return 0
}

func cmdIptables(c *call) int {
	if c.sh.who.uid != 0 {
		fmt.Fprintf(c.err, "%s v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)\n", c.name)
		return 4
	}
	if o := strings.Join(c.args, " "); strings.Contains(o, "-L") || strings.Contains(o, "-S") {
		c.print("Chain INPUT (policy ACCEPT)\ntarget     prot opt source               destination         \n\nChain FORWARD (policy DROP)\ntarget     prot opt source               destination         \nDOCKER-USER  all  --  anywhere             anywhere            \n\nChain OUTPUT (policy ACCEPT)\ntarget     prot opt source               destination         \n")
	}
	return 0
}

func cmdUfw(c *call) int {
	if c.sh.who.uid != 0 {
		fmt.Fprint(c.err, "ERROR: You need to be root to run this script\n")
		return 1
	}
	if c.name == "ufw" {
		c.print(map[string]string{"disable": "Firewall stopped and disabled on system startup\n", "status": "Status: inactive\n"}[strings.Join(c.args, " ")])
	}
	return 0
}

func cmdTcpdump(c *call) int {
	c.sh.sleep(5 * time.Second)
	fmt.Fprintf(c.err, "tcpdump: verbose output suppressed, use -v[v]... for full protocol decode\nlistening on %s, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n0 packets captured\n0 packets received by filter\n0 packets dropped by kernel\n", c.sh.p.Interfaces[0].Name)
	return 0
}
