package system

import (
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/tools"
	"bartizan/internal/decoy/shell/vfs"
)

func NetworkCommands() map[string]interp.CommandFunc {
	return map[string]interp.CommandFunc{
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
		return interp.Clip(raw, 255), "80"
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
func resolve(s *interp.Shell, host string) string {
	if isIP(host) {
		return host
	}
	d := s.P.Derive("dns "+interp.Clip(strings.ToLower(host), 255), 2)
	return fmt.Sprintf("203.0.113.%d", 1+int(d[0])%254)
}

func cmdWget(c *interp.Call) int {
	o := c.Flags("qO:P:ct:T:U:bvSNri:e:o:nHd", "tries=", "timeout=", "user-agent=", "output-document=", "header=", "post-data=", "directory-prefix=")
	if o.Has("version") {
		c.Printf("GNU Wget %s built on linux-gnu.\n", c.Sh.P.Versions.Wget)
		return 0
	}
	if len(o.Rest) == 0 {
		if c.Sh.Img != nil && len(c.Args) == 0 {
			fmt.Fprint(c.Err, "wget: missing URL\nUsage: wget [OPTION]... [URL]...\n\nTry `wget --help' for more options.\n")
			return 1
		}
		return 2
	}
	quiet := o.Has("q")
	say := func(format string, a ...any) {
		if !quiet {
			fmt.Fprintf(c.Err, format, a...)
		}
	}
	for _, raw := range o.Rest {
		u := raw
		if !strings.Contains(u, "://") {
			u = "http://" + u
		}
		c.Sh.RecordDownload(u, "wget")
		host, port := hostOf(u)
		at := resolve(c.Sh, host)
		say("--%s--  %s\n", c.Sh.Now().UTC().Format("2006-01-02 15:04:05"), interp.Clip(u, 2000))
		if at != host {
			say("Resolving %s (%s)... %s\n", host, host, at)
			say("Connecting to %s (%s)|%s|:%s... ", host, host, at, port)
		} else {
			say("Connecting to %s:%s... ", host, port)
		}
		c.Sh.Sleep(2 * time.Second)
		say("failed: Connection timed out.\nGiving up.\n\n")
	}
	return 4
}

func cmdCurl(c *interp.Call) int {
	o := c.Flags("sSLkfo:OX:d:H:A:u:m:iIvx:e:T:F:#gb:c:r:w:NG46", "connect-timeout=", "max-time=", "output=", "request=", "data=", "header=", "user-agent=", "retry=", "url=", "data-raw=", "data-binary=", "proxy=")
	v := c.Sh.P.Versions.Curl
	if o.Has("version", "V") {
		c.Printf("curl %s (x86_64-pc-linux-gnu) libcurl/%s OpenSSL/%s zlib/1.2.13\n", v, v, c.Sh.P.Versions.OpenSSL)
		return 0
	}
	urls := o.Rest
	if u := o.Get("url"); u != "" {
		urls = append(urls, u)
	}
	if len(urls) == 0 {
		fmt.Fprint(c.Err, "curl: try 'curl --help' or 'curl --manual' for more information\n")
		return 2
	}
	code := 0
	for _, raw := range urls {
		u := raw
		if !strings.Contains(u, "://") {
			u = "http://" + u
		}
		c.Sh.RecordDownload(u, "curl")
		host, port := hostOf(u)
		c.Sh.Sleep(2 * time.Second)
		if o.Has("s", "silent") && !o.Has("S", "show-error") {
			code = 28
			continue
		}
		if !o.Has("s", "silent") && !c.OutTTY() {
			fmt.Fprint(c.Err, "  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current\n                                 Dload  Upload   Total   Spent    Left  Speed\n\r  0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0\r  0     0    0     0    0     0      0      0 --:--:--  0:02:10 --:--:--     0\n")
		}
		fmt.Fprintf(c.Err, "curl: (28) Failed to connect to %s port %s after 130271 ms: Couldn't connect to server\n", host, port)
		code = 28
	}
	return code
}

func cmdTftp(c *interp.Call) int {
	o := c.Flags("+gpr:l:c:b:v")
	host, file := "", o.Get("r")
	rest := o.Rest
	// tftp-hpa style: tftp host -c get file; busybox style: tftp -g -r file host
	for i, a := range c.Args {
		if a == "-r" && i+1 < len(c.Args) {
			file = c.Args[i+1]
		}
		if a == "get" && i+1 < len(c.Args) {
			file = c.Args[i+1]
		}
	}
	for i, a := range rest {
		if !strings.HasPrefix(a, "-") && (i == 0 || rest[i-1] != "-r" && rest[i-1] != "-l") && a != "get" && a != file {
			host = a
			break
		}
	}
	if host == "" && c.Args != nil {
		c.Print("usage: tftp [-v][-l][-m mode] [host [port]] [-c command]\n")
		return 1
	}
	c.Sh.RecordDownload("tftp://"+host+"/"+strings.TrimPrefix(file, "/"), "tftp")
	c.Sh.Sleep(2 * time.Second)
	fmt.Fprint(c.Err, "tftp: timeout\n")
	return 1
}

func cmdFtpget(c *interp.Call) int {
	o := c.Flags("u:p:P:vcn")
	if len(o.Rest) == 0 {
		if c.Name == "ftp" {
			return 0
		}
		fmt.Fprintf(c.Err, "Usage: %s [-cv] [-u USER] [-p PASS] HOST LOCAL REMOTE\n", c.Name)
		return 1
	}
	remote := o.Rest[len(o.Rest)-1]
	if len(o.Rest) == 1 {
		remote = ""
	}
	u := url.URL{Scheme: "ftp", Host: o.Rest[0], Path: "/" + strings.TrimPrefix(remote, "/")}
	if o.Has("u") {
		u.User = url.UserPassword(o.Get("u"), o.Get("p"))
	}
	c.Sh.RecordDownload(u.String(), c.Name)
	c.Sh.Sleep(2 * time.Second)
	return c.Fail(1, "can't connect to remote host (%s): Connection timed out", o.Rest[0])
}

// cmdRemote covers the clients that would open a connection.
func cmdRemote(c *interp.Call) int {
	o := c.Flags("+p:l:i:o:vlnze:w:uqTNfCAat4L:R:D:F:", "rsh=")
	rest := o.Rest
	if c.Name == "ssh" && o.Has("V") || len(c.Args) > 0 && c.Args[0] == "-V" {
		fmt.Fprintf(c.Err, "%s\n", c.Sh.P.SSH.OpenSSL)
		return 0
	}
	if len(rest) == 0 {
		if o.Has("l") && (c.Name == "nc" || c.Name == "ncat" || c.Name == "netcat") {
			c.Sh.Sleep(10 * time.Second)
			return 1
		}
		fmt.Fprintf(c.Err, "usage: %s [options] destination [command]\n", c.Name)
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
		port = map[string]string{"ssh": "22", "telnet": "23", "sftp": "22", "rsync": "873"}[c.Name]
		if p := o.Get("p"); p != "" {
			port = p
		}
	}
	scheme := map[string]string{"ssh": "ssh", "sftp": "sftp", "telnet": "telnet", "rsync": "rsync"}[c.Name]
	if scheme == "" {
		scheme = "tcp"
	}
	c.Sh.RecordDownload(scheme+"://"+host+":"+port, c.Name)
	c.Sh.Sleep(2 * time.Second)
	switch c.Name {
	case "ssh", "sftp":
		fmt.Fprintf(c.Err, "ssh: connect to host %s port %s: Connection timed out\n", target, port)
		return 255
	case "telnet":
		c.Printf("Trying %s...\n", resolve(c.Sh, target))
		fmt.Fprint(c.Err, "telnet: Unable to connect to remote host: Connection timed out\n")
		return 1
	case "rsync":
		fmt.Fprintf(c.Err, "rsync: failed to connect to %s: Connection timed out (110)\n", target)
		return 10
	}
	if o.Has("v") {
		fmt.Fprintf(c.Err, "nc: connect to %s port %s (tcp) failed: Connection timed out\n", target, port)
	}
	return 1
}

// cmdScp speaks the remote side of the old scp protocol (-t sink, -f source),
// which is how files are dropped over an exec request.
func cmdScp(c *interp.Call) int {
	o := c.Flags("trfpdqvCBP:i:o:l:")
	if len(o.Rest) == 0 {
		fmt.Fprint(c.Err, "usage: scp [-346ABCpqrTv] [-i identity_file] source ... target\n")
		return 1
	}
	switch {
	case o.Has("t"):
		return scpSink(c, o.Rest[0], 0)
	case o.Has("f"):
		return scpSource(c, o.Rest[0])
	}
	for _, a := range o.Rest {
		if strings.Contains(a, ":") {
			c.Sh.RecordDownload("scp://"+a, "scp")
			c.Sh.Sleep(2 * time.Second)
			h, _, _ := strings.Cut(a[strings.LastIndexByte(a, '@')+1:], ":")
			fmt.Fprintf(c.Err, "ssh: connect to host %s port 22: Connection timed out\nlost connection\n", h)
			return 1
		}
	}
	return tools.CmdCp(c)
}

func scpSink(c *interp.Call, target string, depth int) int {
	ack := func() { c.Print("\x00") }
	bad := func(msg string) int { c.Print("\x01scp: " + msg + "\n"); return 1 }
	ack()
	status := 0
	for !c.Sh.Dead() {
		line, err := c.ReadLine(c.In, false)
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
		dst := c.Into(name, target)
		if line[0] == 'D' {
			err := c.Locked(func(fsys *vfs.FS) error {
				_, err := fsys.Add(c.E.Abs(dst), &vfs.Node{Mode: vfs.ModeDir | mode&0o777})
				return err
			})
			if err != nil && err != vfs.ErrExist || depth > 16 {
				return bad(dst + ": " + fmt.Sprint(err))
			}
			status = max(status, scpSink(c, dst, depth+1))
			continue
		}
		ack()
		body := c.ReadAll(io.LimitReader(c.In, min(size, c.Sh.Limits.FileBytes)))
		io.CopyN(io.Discard, c.In, size-int64(len(body))) // what is beyond the limit is not kept
		c.In.ReadByte()                                   // the sender's final status byte
		if err := c.Sh.Store(c.E.Abs(dst), body, mode&0o777, "scp"); err != nil {
			status = bad(dst + ": " + err.Error())
			continue
		}
		ack()
	}
	return status
}

func scpSource(c *interp.Call, p string) int {
	b, err := c.Sh.Fs.Slurp(c.E.Abs(p))
	if err != nil {
		c.Printf("\x01scp: %s: %s\n", p, err)
		return 1
	}
	n, _, _ := c.Node(p, true)
	c.In.ReadByte() // the receiver says that it is ready
	c.Printf("C%04o %d %s\n", n.Mode&0o777, len(b), path.Base(p))
	c.In.ReadByte()
	c.Out.Write(b)
	c.Print("\x00")
	c.In.ReadByte()
	return 0
}
