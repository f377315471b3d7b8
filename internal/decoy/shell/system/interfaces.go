package system

import (
	"fmt"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/tools"
)

func cmdIfconfig(c *interp.Call) int {
	for i, n := range c.Sh.P.Interfaces {
		if len(c.Args) > 0 && c.Args[0] != "-a" && c.Args[0] != n.Name {
			continue
		}
		rx, tx := Traffic(c.Sh.P, c.Sh.Now(), i+1)
		mask := "255.255.255.0"
		bcast := strings.TrimSuffix(n.Addr.Addr().String(), lastOctet(n.Addr.Addr().String())) + "255"
		if n.Addr.Bits() == 16 {
			mask, bcast = "255.255.0.0", "172.17.255.255"
		}
		c.Printf("%s: flags=4163<UP,BROADCAST,RUNNING,MULTICAST>  mtu 1500\n        inet %s  netmask %s  broadcast %s\n        inet6 %s  prefixlen 64  scopeid 0x20<link>\n        ether %s  txqueuelen 1000  (Ethernet)\n        RX packets %d  bytes %d (%s)\n        RX errors 0  dropped 0  overruns 0  frame 0\n        TX packets %d  bytes %d (%s)\n        TX errors 0  dropped 0 overruns 0  carrier 0  collisions 0\n\n",
			n.Name, n.Addr.Addr(), mask, bcast, n.V6, n.MAC, rx/731, rx, tools.SiUnit(rx, 1024), tx/512, tx, tools.SiUnit(tx, 1024))
	}
	if len(c.Args) == 0 || c.Args[0] == "-a" || c.Args[0] == "lo" {
		rx, _ := Traffic(c.Sh.P, c.Sh.Now(), 0)
		c.Printf("lo: flags=73<UP,LOOPBACK,RUNNING>  mtu 65536\n        inet 127.0.0.1  netmask 255.0.0.0\n        inet6 ::1  prefixlen 128  scopeid 0x10<host>\n        loop  txqueuelen 1000  (Local Loopback)\n        RX packets %d  bytes %d (%s)\n        TX packets %d  bytes %d (%s)\n\n", rx/512, rx, tools.SiUnit(rx, 1024), rx/512, rx, tools.SiUnit(rx, 1024))
	}
	return 0
}

func lastOctet(ip string) string { return ip[strings.LastIndexByte(ip, '.')+1:] }

func cmdIP(c *interp.Call) int {
	o := c.Flags("46brosdnc")
	what := "help"
	if len(o.Rest) > 0 {
		what = o.Rest[0]
	}
	p := c.Sh.P
	switch {
	case what == "": // the beginning of every word
		fmt.Fprint(c.Err, "Object \"\" is unknown, try \"ip help\".\n")
		return 255
	case strings.HasPrefix("address", what), strings.HasPrefix("link", what):
		c.Print("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n")
		if what[0] == 'a' {
			c.Print("    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n    inet6 ::1/128 scope host \n       valid_lft forever preferred_lft forever\n")
		}
		for i, n := range p.Interfaces {
			c.Printf("%d: %s: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UP group default qlen 1000\n    link/ether %s brd ff:ff:ff:ff:ff:ff\n", i+2, n.Name, n.MAC)
			if what[0] == 'a' {
				c.Printf("    inet %s scope global %s\n       valid_lft forever preferred_lft forever\n    inet6 %s/64 scope link \n       valid_lft forever preferred_lft forever\n", n.Addr, n.Name, n.V6)
			}
		}
	case strings.HasPrefix("route", what):
		i := p.Interfaces[0]
		c.Printf("default via %s dev %s proto dhcp src %s metric 100 \n%s dev %s proto kernel scope link src %s \n172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1 \n", p.Gateway, i.Name, i.Addr.Addr(), i.Addr.Masked(), i.Name, i.Addr.Addr())
	case strings.HasPrefix("neighbour", what):
		c.Printf("%s dev %s lladdr %s REACHABLE\n", p.Gateway, p.Interfaces[0].Name, gatewayMAC(c))
	default:
		fmt.Fprint(c.Err, "Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }\n")
		return 255
	}
	return 0
}

func gatewayMAC(c *interp.Call) string {
	d := c.Sh.P.Derive("gateway mac", 4)
	return fmt.Sprintf("fe:00:%02x:%02x:%02x:%02x", d[0], d[1], d[2], d[3])
}

func cmdNetstat(c *interp.Call) int {
	flags := strings.Join(c.Args, "")
	p := c.Sh.P
	local := p.Interfaces[0].Addr.Addr().String() + ":22"
	peer := remote(c.Sh) + ":" + interp.Itoa(40000+c.Sh.Pid%20000)
	if c.Name == "netstat" && strings.Contains(flags, "r") {
		return cmdRoute(c)
	}
	if c.Name == "ss" {
		c.Print("State   Recv-Q  Send-Q   Local Address:Port    Peer Address:Port Process\n")
		for _, k := range p.Sockets {
			if strings.ContainsAny(flags, "la") {
				proc := fmt.Sprintf("users:((\"%s\",pid=%d,fd=3))", k.Program, k.PID)
				if !strings.Contains(flags, "p") {
					proc = ""
				}
				c.Printf("LISTEN  0       128      %20s         %s:*  %s\n", k.Addr, map[bool]string{true: "[::]", false: "0.0.0.0"}[k.Proto == "tcp6"], proc)
			}
		}
		c.Printf("ESTAB   0       36       %20s %20s\n", local, peer)
		return 0
	}
	head := "Proto Recv-Q Send-Q Local Address           Foreign Address         State      "
	withPID := strings.Contains(flags, "p")
	if withPID {
		head += " PID/Program name    "
	}
	c.Printf("Active Internet connections (%s)\n%s\n", map[bool]string{true: "servers and established", false: "w/o servers"}[strings.ContainsAny(flags, "la")], head)
	row := func(proto, a, b, state, prog string) {
		if !withPID {
			prog = ""
		}
		c.Printf("%-5s      0      0 %-23s %-23s %-11s %s\n", proto, strings.Replace(a, "[::]", "::", 1), b, state, prog)
	}
	if strings.ContainsAny(flags, "la") {
		for _, k := range p.Sockets {
			row(k.Proto, k.Addr, map[bool]string{true: ":::*", false: "0.0.0.0:*"}[k.Proto == "tcp6"], "LISTEN", fmt.Sprintf("%d/%s", k.PID, k.Program))
		}
	}
	if !strings.Contains(flags, "l") {
		row("tcp", local, peer, "ESTABLISHED", interp.Itoa(c.Sh.Pid-4)+"/sshd: "+c.Sh.Who.Name)
	}
	return 0
}

func cmdRoute(c *interp.Call) int {
	i := c.Sh.P.Interfaces[0]
	c.Printf("Kernel IP routing table\nDestination     Gateway         Genmask         Flags Metric Ref    Use Iface\n%-15s %-15s 0.0.0.0         UG    100    0        0 %s\n%-15s 0.0.0.0         255.255.255.0   U     100    0        0 %s\n172.17.0.0      0.0.0.0         255.255.0.0     U     0      0        0 docker0\n", "0.0.0.0", c.Sh.P.Gateway, i.Name, i.Addr.Masked().Addr(), i.Name)
	return 0
}

func cmdArp(c *interp.Call) int {
	c.Printf("Address                  HWtype  HWaddress           Flags Mask            Iface\n%-24s ether   %s   C                     %s\n", c.Sh.P.Gateway, gatewayMAC(c), c.Sh.P.Interfaces[0].Name)
	return 0
}

func cmdPing(c *interp.Call) int {
	o := c.Flags("c:W:w:i:s:qn46I:t:m:f")
	if len(o.Rest) == 0 {
		fmt.Fprintf(c.Err, "%s: usage error: Destination address required\n", c.Name)
		return 2
	}
	host := o.Rest[0]
	n := 4
	if o.Has("c") {
		n = max(1, min(interp.ClampInt(o.Get("c"), 10), 10))
	}
	c.Sh.RecordDownload("icmp://"+host, c.Name)
	c.Printf("PING %s (%s) 56(84) bytes of data.\n", host, resolve(c.Sh, host))
	c.Sh.Sleep(time.Duration(n) * time.Second)
	c.Printf("\n--- %s ping statistics ---\n%d packets transmitted, 0 received, 100%% packet loss, time %dms\n\n", host, n, (n-1)*1024)
	return 1
}

func cmdDNS(c *interp.Call) int {
	var name string
	for _, a := range c.Args {
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "+") && !strings.HasPrefix(a, "@") {
			name = a
			break
		}
	}
	if name == "" {
		return 1
	}
	c.Sh.RecordDownload("dns://"+name, c.Name)
	c.Sh.Sleep(2 * time.Second)
	switch c.Name {
	case "dig":
		c.Printf("\n; <<>> DiG 9.18.28 <<>> %s\n;; global options: +cmd\n;; no servers could be reached\n\n", name)
		return 9
	case "host":
		c.Print(";; connection timed out; no servers could be reached\n")
	default:
		c.Print(";; connection timed out; no servers could be reached\n\n")
	}
	return 1
}

func cmdSSHKeygen(c *interp.Call) int {
	o := c.Flags("t:f:N:C:b:qylRP:")
	f := o.Get("f")
	if f == "" {
		f = c.Sh.Who.Home + "/.ssh/id_rsa"
	}
	if o.Has("l", "y", "R") {
		return c.Fail(255, "%s: No such file or directory", f)
	}
	key := c.Token(68)
	if c.Sh.Store(c.E.Abs(f), []byte("-----BEGIN OPENSSH PRIVATE KEY-----\n"+c.Token(70)+"\n"+c.Token(70)+"\n-----END OPENSSH PRIVATE KEY-----\n"), 0o600, "ssh-keygen") != nil {
		return c.Fail(1, "Saving key \"%s\" failed: No such file or directory", f)
	}
	c.Sh.Store(c.E.Abs(f+".pub"), []byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI"+key[:43]+" "+c.Sh.Who.Name+"@"+c.Sh.Hostname()+"\n"), 0o644, "ssh-keygen")
	if !o.Has("q") {
		c.Printf("Generating public/private %s key pair.\nYour identification has been saved in %s\nYour public key has been saved in %s.pub\nThe key fingerprint is:\nSHA256:%s %s@%s\n", map[bool]string{true: "rsa", false: o.Get("t")}[o.Get("t") == ""], f, f, key[:43], c.Sh.Who.Name, c.Sh.Hostname())
	}
	return 0
}

func cmdIptables(c *interp.Call) int {
	if c.Sh.Who.Uid != 0 {
		fmt.Fprintf(c.Err, "%s v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)\n", c.Name)
		return 4
	}
	if o := strings.Join(c.Args, " "); strings.Contains(o, "-L") || strings.Contains(o, "-S") {
		c.Print("Chain INPUT (policy ACCEPT)\ntarget     prot opt source               destination         \n\nChain FORWARD (policy DROP)\ntarget     prot opt source               destination         \nDOCKER-USER  all  --  anywhere             anywhere            \n\nChain OUTPUT (policy ACCEPT)\ntarget     prot opt source               destination         \n")
	}
	return 0
}

func cmdUfw(c *interp.Call) int {
	if c.Sh.Who.Uid != 0 {
		fmt.Fprint(c.Err, "ERROR: You need to be root to run this script\n")
		return 1
	}
	if c.Name == "ufw" {
		c.Print(map[string]string{"disable": "Firewall stopped and disabled on system startup\n", "status": "Status: inactive\n"}[strings.Join(c.Args, " ")])
	}
	return 0
}

func cmdTcpdump(c *interp.Call) int {
	c.Sh.Sleep(5 * time.Second)
	fmt.Fprintf(c.Err, "tcpdump: verbose output suppressed, use -v[v]... for full protocol decode\nlistening on %s, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n0 packets captured\n0 packets received by filter\n0 packets dropped by kernel\n", c.Sh.P.Interfaces[0].Name)
	return 0
}
