package persona

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

var (
	hostRoles = []string{"web", "app", "api", "db", "prod", "srv", "vps", "node", "mail", "cache", "staging", "worker", "backend", "build", "gpu", "ml", "docker", "infra", "edge", "data"}
	hostSites = []string{"fra", "ams", "lon", "nyc", "sfo", "sgp", "blr", "waw", "par", "hel", "nbg", "fsn", "iad", "pdx", "syd", "tor", "dub", "mad", "mil", "sto"}
	syllables = []string{"nor", "vel", "tri", "lum", "kor", "sol", "ver", "dan", "mar", "tek", "bri", "cal", "ost", "fin", "gra", "hal", "ind", "jun", "lin", "mon", "nex", "opt", "pra", "qui", "ros", "sig", "tal", "uni", "vin", "wes", "zen", "arc", "bel", "cor", "del", "eco"}
	bizWords  = []string{"soft", "labs", "data", "logistics", "media", "systems", "cloud", "health", "retail", "works", "digital", "energy", "trade", "care", "foods", "analytics", "travel", "finance", "studio", "mobility"}
	topLevels = []string{"com", "net", "io", "dev", "co", "org", "eu", "tech", "app", "cloud"}

	firstNames = []string{"james", "maria", "david", "anna", "michael", "julia", "thomas", "laura", "daniel", "sofia", "andreas", "elena", "peter", "natalia", "lucas", "emma", "marco", "ines", "pavel", "hannah", "kevin", "priya", "rahul", "wei", "jun", "carlos", "ana", "oliver", "nina", "tomasz", "agnes", "viktor", "olga", "simon", "claire", "mehmet", "fatima", "omar", "leila", "erik", "ingrid", "paulo", "bruno", "chris", "sarah", "adam", "jan", "karin", "stefan", "ruth"}
	lastNames  = []string{"smith", "garcia", "mueller", "rossi", "novak", "kowalski", "silva", "jensen", "dubois", "fischer", "weber", "martin", "lopez", "patel", "kim", "chen", "tanaka", "ivanov", "popov", "nagy", "horvat", "berg", "larsen", "moreau", "bauer", "schmidt", "keller", "costa", "ferrari", "romano", "santos", "walker", "young", "hughes", "evans", "clark", "singh", "kaya", "yilmaz", "haddad", "lindberg", "virtanen", "jansen", "bakker", "peeters", "murphy", "byrne", "wilson", "brown", "taylor"}
	roleUsers  = [][2]string{{"deploy", "Deployment"}, {"ansible", ""}, {"git", "Git"}, {"backup-svc", "Backup"}, {"jenkins", "Jenkins"}, {"ci", ""}, {"webadmin", ""}, {"dev", ""}, {"ops", "Operations"}, {"gitlab-runner", "GitLab Runner"}, {"minecraft", ""}, {"nodeapp", ""}, {"mlops", ""}, {"postgres-admin", ""}}
)

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (p *Persona) pickIdentity(s *source) {
	brand := pick(s, syllables) + pick(s, syllables)
	if s.chance(40) {
		brand += pick(s, syllables)
	}
	word := pick(s, bizWords)
	p.SiteName = title(brand) + " " + title(word)
	join := pick(s, []string{"", "", "-"})
	p.Domain = brand + join + word + "." + pick(s, topLevels)
	num := s.between(1, 99)
	switch s.intn(5) {
	case 0:
		p.Hostname = fmt.Sprintf("%s-%s-%02d", pick(s, hostRoles), pick(s, hostSites), num)
	case 1:
		p.Hostname = fmt.Sprintf("%s%02d-%s", pick(s, hostRoles), num, brand)
	case 2:
		p.Hostname = fmt.Sprintf("%s-%s%d", brand, pick(s, hostRoles), num)
	case 3:
		p.Hostname = fmt.Sprintf("vps-%s", s.hex(4))
	default:
		p.Hostname = fmt.Sprintf("%s-%dvcpu-%dgb-%s%d-%02d", p.Distro.ID, 1<<s.between(1, 3), 1<<s.between(2, 4), pick(s, hostSites), s.between(1, 3), num)
	}
}

func (p *Persona) pickNetwork(s *source) {
	names := []string{"eth0", "ens3", "ens18", "enp1s0"}
	if p.Hardware.Vendor == "Amazon EC2" {
		names = []string{"ens5", "eth0"}
	}
	oui := map[string]string{"QEMU": "52:54:00", "Hetzner": "96:00:0" + s.text("0123", 1), "DigitalOcean": "de:ad:" + s.hex(1), "Amazon EC2": "02:" + s.hex(1) + ":" + s.hex(1), "VMware, Inc.": "00:50:56"}[p.Hardware.Vendor]
	mac := oui + ":" + s.hex(1) + ":" + s.hex(1) + ":" + s.hex(1)
	var a [4]byte
	switch s.intn(3) {
	case 0:
		a = [4]byte{10, byte(s.intn(250)), byte(s.intn(250)), byte(s.between(10, 250))}
	case 1:
		a = [4]byte{172, byte(s.between(16, 31)), byte(s.intn(250)), byte(s.between(10, 250))}
	default:
		a = [4]byte{192, 168, byte(s.intn(250)), byte(s.between(10, 250))}
	}
	gw := a
	gw[3] = 1
	p.Gateway = netip.AddrFrom4(gw)
	p.Interfaces = []Interface{{Name: pick(s, names), MAC: mac, Addr: netip.PrefixFrom(netip.AddrFrom4(a), 24), V6: linkLocal(mac)}}
	dockerMAC := "02:42:" + s.hex(1) + ":" + s.hex(1) + ":" + s.hex(1) + ":" + s.hex(1)
	p.Interfaces = append(p.Interfaces, Interface{Name: "docker0", MAC: dockerMAC, Addr: netip.MustParsePrefix("172.17.0.1/16"), V6: linkLocal(dockerMAC)})
	p.Resolvers = []netip.Addr{p.Gateway}
	if s.chance(60) {
		p.Resolvers = []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("8.8.8.8")}
	}
}

// linkLocal forms the modified EUI-64 address of a MAC (RFC 4291, appendix A).
func linkLocal(mac string) netip.Addr {
	var m [6]byte
	fmt.Sscanf(mac, "%02x:%02x:%02x:%02x:%02x:%02x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) // mac is made above
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

func (p *Persona) pickUsers(s *source) {
	p.Users = []User{{Name: "root", Gecos: "root", Home: "/root", Shell: "/bin/bash", PasswordHash: s.cryptHash()}}
	next := 1000
	add := func(name, gecos string, sudo bool) {
		for _, u := range p.Users {
			if u.Name == name {
				return
			}
		}
		p.Users = append(p.Users, User{Name: name, UID: next, GID: next, Gecos: gecos + ",,,", Home: "/home/" + name, Shell: "/bin/bash", Sudo: sudo, PasswordHash: s.cryptHash()})
		next++
	}
	switch {
	case p.Distro.ID == "ubuntu" && s.chance(70):
		add("ubuntu", "Ubuntu", true)
	case p.Distro.ID == "debian" && s.chance(30):
		add("debian", "Debian", true)
	}
	style := s.intn(3)
	for range s.between(1, 2) {
		f, l := pick(s, firstNames), pick(s, lastNames)
		name := []string{f, f[:1] + l, f + "." + l}[style]
		add(name, title(f)+" "+title(l), s.chance(50))
	}
	for range s.between(1, 2) {
		r := pick(s, roleUsers)
		add(r[0], r[1], r[0] == "ansible")
	}
}

func (s *source) cryptHash() string { return "$6$" + s.text(cryptab, 16) + "$" + s.text(cryptab, 86) }

// SystemUsers are the accounts every Debian-like system has.
func SystemUsers() []User {
	u := func(name string, uid, gid int, gecos, home, shell string) User {
		return User{Name: name, UID: uid, GID: gid, Gecos: gecos, Home: home, Shell: shell, PasswordHash: "*"}
	}
	const no = "/usr/sbin/nologin"
	return []User{
		u("daemon", 1, 1, "daemon", "/usr/sbin", no), u("bin", 2, 2, "bin", "/bin", no), u("sys", 3, 3, "sys", "/dev", no),
		u("sync", 4, 65534, "sync", "/bin", "/bin/sync"), u("games", 5, 60, "games", "/usr/games", no), u("man", 6, 12, "man", "/var/cache/man", no),
		u("lp", 7, 7, "lp", "/var/spool/lpd", no), u("mail", 8, 8, "mail", "/var/mail", no), u("news", 9, 9, "news", "/var/spool/news", no),
		u("uucp", 10, 10, "uucp", "/var/spool/uucp", no), u("proxy", 13, 13, "proxy", "/bin", no), u("www-data", 33, 33, "www-data", "/var/www", no),
		u("backup", 34, 34, "backup", "/var/backups", no), u("list", 38, 38, "Mailing List Manager", "/var/list", no), u("irc", 39, 39, "ircd", "/run/ircd", no),
		u("nobody", 65534, 65534, "nobody", "/nonexistent", no), u("systemd-network", 100, 102, "systemd Network Management,,,", "/run/systemd", no),
		u("systemd-resolve", 101, 103, "systemd Resolver,,,", "/run/systemd", no), u("messagebus", 102, 105, "", "/nonexistent", no),
		u("sshd", 103, 65534, "", "/run/sshd", no), u("mysql", 104, 108, "MySQL Server,,,", "/nonexistent", "/bin/false"), u("redis", 105, 109, "", "/var/lib/redis", no),
	}
}

func (p *Persona) pickHardware(s *source) {
	type cpu struct {
		vendor, model    string
		family, no, step int
		mhz              float64
		cache            int
		flags            string
	}
	const intel = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ss ht syscall nx pdpe1gb rdtscp lm constant_tsc rep_good nopl xtopology cpuid tsc_known_freq pni pclmulqdq ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave avx f16c rdrand hypervisor lahf_lm abm 3dnowprefetch cpuid_fault invpcid_single ssbd ibrs ibpb fsgsbase tsc_adjust bmi1 avx2 smep bmi2 erms invpcid avx512f avx512dq rdseed adx smap clflushopt clwb avx512cd avx512bw avx512vl xsaveopt xsavec xgetbv1 arat avx512_vnni md_clear arch_capabilities"
	const amd = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx mmxext fxsr_opt pdpe1gb rdtscp lm rep_good nopl cpuid extd_apicid tsc_known_freq pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 x2apic movbe popcnt aes xsave avx f16c rdrand hypervisor lahf_lm cmp_legacy cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw topoext perfctr_core ssbd ibrs ibpb stibp vmmcall fsgsbase bmi1 avx2 smep bmi2 rdseed adx smap clflushopt clwb sha_ni xsaveopt xsavec xgetbv1 clzero xsaveerptr wbnoinvd arat umip rdpid"
	cpus := []cpu{
		{"GenuineIntel", "Intel(R) Xeon(R) Platinum 8259CL CPU @ 2.50GHz", 6, 85, 7, 2499.998, 36608, intel},
		{"GenuineIntel", "Intel Xeon Processor (Skylake, IBRS)", 6, 85, 4, 2294.608, 16384, intel},
		{"GenuineIntel", "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", 6, 85, 7, 2494.140, 28160, intel},
		{"GenuineIntel", "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 6, 79, 1, 2399.996, 35840, intel},
		{"AuthenticAMD", "AMD EPYC Processor (with IBPB)", 23, 1, 2, 2445.404, 512, amd},
		{"AuthenticAMD", "AMD EPYC 7543 32-Core Processor", 25, 1, 1, 2794.748, 512, amd},
		{"AuthenticAMD", "AMD EPYC-Milan Processor", 25, 1, 1, 2445.406, 512, amd},
	}
	c := pick(s, cpus)
	vendors := [][3]string{{"QEMU", "Standard PC (Q35 + ICH9, 2009)", "vda"}, {"Hetzner", "vServer", "sda"}, {"DigitalOcean", "Droplet", "vda"}, {"Amazon EC2", "t3.xlarge", "nvme0n1"}, {"VMware, Inc.", "VMware Virtual Platform", "sda"}}
	v := pick(s, vendors)
	cores := 1 << s.between(1, 4)
	memGB := cores * pick(s, []int{2, 2, 4})
	p.Hardware = Hardware{
		Cores: cores, CPUVendor: c.vendor, CPUModel: c.model, CPUFamily: c.family, CPUModelNo: c.no, CPUStepping: c.step, CPUMHz: c.mhz,
		CacheKB: c.cache, CPUFlags: c.flags, Bogomips: c.mhz * 2,
		MemKB:  int64(memGB)*1024*1024 - int64(s.between(40000, 90000)) - int64(memGB)*15000,
		SwapKB: int64(pick(s, []int{0, 0, 2097148, 4194300})), DiskGB: pick(s, []int{40, 80, 100, 160, 200, 320, 500}), DiskUsed: s.between(18, 79),
		DiskDevice: v[2], Vendor: v[0], Product: v[1], RootUUID: s.uuid(),
	}
	if s.chance(35) {
		g := pick(s, [][2]string{{"Tesla T4", "15360"}, {"NVIDIA A10G", "23028"}, {"NVIDIA L4", "23034"}, {"NVIDIA A100-SXM4-40GB", "40960"}, {"NVIDIA GeForce RTX 4090", "24564"}, {"NVIDIA H100 PCIe", "81559"}})
		p.Hardware.GPU = g[0]
		fmt.Sscan(g[1], &p.Hardware.GPUMemMB)
		p.Hardware.GPUDriver = pick(s, []string{"535.183.01", "550.54.15", "550.90.07", "560.35.03"})
	}
	p.BootedAt = p.BornAt.Add(-time.Duration(s.between(4*86400, 120*86400)) * time.Second)
	p.InstalledAt = p.BootedAt.Add(-time.Duration(s.between(20*86400, 400*86400)) * time.Second)
}
