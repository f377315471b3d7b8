package persona

import "strings"

// release is one distribution release with the versions it really ships.
type release struct {
	distro   Distro
	points   []string
	kernels  [][2]string // release, version
	compiler string
	builder  string
	ssh      []string // banner comment; the upstream version is sshVer
	sshVer   string
	versions Versions
	nginx    string
	apache   []string
}

var releases = []release{
	{
		distro: Distro{ID: "debian", Name: "Debian GNU/Linux", Version: "11", Codename: "bullseye"},
		points: []string{"11.9", "11.10", "11.11"},
		kernels: [][2]string{
			{"5.10.0-28-amd64", "#1 SMP Debian 5.10.209-2 (2024-01-31)"},
			{"5.10.0-29-amd64", "#1 SMP Debian 5.10.216-1 (2024-05-03)"},
			{"5.10.0-30-amd64", "#1 SMP Debian 5.10.218-1 (2024-06-01)"},
			{"5.10.0-31-amd64", "#1 SMP Debian 5.10.221-1 (2024-07-14)"},
			{"5.10.0-32-amd64", "#1 SMP Debian 5.10.223-1 (2024-08-10)"},
			{"5.10.0-33-amd64", "#1 SMP Debian 5.10.226-1 (2024-10-03)"},
			{"5.10.0-34-amd64", "#1 SMP Debian 5.10.234-1 (2025-02-24)"},
		},
		compiler: "gcc-10 (Debian 10.2.1-6) 10.2.1 20210110, GNU ld (GNU Binutils for Debian) 2.35.2",
		builder:  "debian-kernel@lists.debian.org",
		sshVer:   "8.4p1", ssh: []string{"Debian-5+deb11u3", "Debian-5+deb11u4", "Debian-5+deb11u5"},
		versions: Versions{Redis: "6.0.16", Python: "3.9.2", Perl: "5.32.1", Bash: "5.1.4", OpenSSL: "1.1.1w", GCC: "10.2.1", Glibc: "2.31", Coreutils: "8.32", Curl: "7.74.0", Wget: "1.21", Git: "2.30.2", Systemd: "247", PHP: "7.4.33", MySQL: "10.5.26-MariaDB", Busybox: "1.30.1"},
		nginx:    "1.18.0", apache: []string{"2.4.59", "2.4.61", "2.4.62"},
	},
	{
		distro: Distro{ID: "debian", Name: "Debian GNU/Linux", Version: "12", Codename: "bookworm"},
		points: []string{"12.5", "12.6", "12.7", "12.8", "12.9", "12.10", "12.11"},
		kernels: [][2]string{
			{"6.1.0-18-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)"},
			{"6.1.0-21-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.90-1 (2024-05-03)"},
			{"6.1.0-22-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.94-1 (2024-06-21)"},
			{"6.1.0-23-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.99-1 (2024-07-15)"},
			{"6.1.0-25-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.106-3 (2024-08-26)"},
			{"6.1.0-26-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.112-1 (2024-09-30)"},
			{"6.1.0-28-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)"},
			{"6.1.0-31-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.128-1 (2025-02-07)"},
			{"6.1.0-33-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.133-1 (2025-04-10)"},
			{"6.1.0-37-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)"},
		},
		compiler: "gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40",
		builder:  "debian-kernel@lists.debian.org",
		sshVer:   "9.2p1", ssh: []string{"Debian-2+deb12u2", "Debian-2+deb12u3", "Debian-2+deb12u4", "Debian-2+deb12u5", "Debian-2+deb12u6"},
		versions: Versions{Redis: "7.0.15", Python: "3.11.2", Perl: "5.36.0", Bash: "5.2.15", OpenSSL: "3.0.15", GCC: "12.2.0", Glibc: "2.36", Coreutils: "9.1", Curl: "7.88.1", Wget: "1.21.3", Git: "2.39.5", Systemd: "252", PHP: "8.2.26", MySQL: "10.11.6-MariaDB", Busybox: "1.35.0"},
		nginx:    "1.22.1", apache: []string{"2.4.59", "2.4.61", "2.4.62"},
	},
	{
		distro: Distro{ID: "ubuntu", Name: "Ubuntu", Version: "20.04", Codename: "focal"},
		points: []string{"20.04.6"},
		kernels: [][2]string{
			{"5.4.0-169-generic", "#187-Ubuntu SMP Thu Nov 23 14:52:28 UTC 2023"},
			{"5.4.0-174-generic", "#193-Ubuntu SMP Thu Mar 7 14:29:28 UTC 2024"},
			{"5.4.0-182-generic", "#202-Ubuntu SMP Fri Apr 26 12:29:36 UTC 2024"},
			{"5.4.0-187-generic", "#207-Ubuntu SMP Mon Jun 10 08:16:10 UTC 2024"},
			{"5.4.0-192-generic", "#212-Ubuntu SMP Fri Jul 5 09:47:39 UTC 2024"},
			{"5.4.0-200-generic", "#220-Ubuntu SMP Fri Sep 27 13:19:16 UTC 2024"},
		},
		compiler: "gcc version 9.4.0 (Ubuntu 9.4.0-1ubuntu1~20.04.2)",
		builder:  "buildd@lcy02-amd64-",
		sshVer:   "8.2p1", ssh: []string{"Ubuntu-4ubuntu0.10", "Ubuntu-4ubuntu0.11", "Ubuntu-4ubuntu0.12", "Ubuntu-4ubuntu0.13"},
		versions: Versions{Redis: "5.0.7", Python: "3.8.10", Perl: "5.30.0", Bash: "5.0.17", OpenSSL: "1.1.1f", GCC: "9.4.0", Glibc: "2.31", Coreutils: "8.30", Curl: "7.68.0", Wget: "1.20.3", Git: "2.25.1", Systemd: "245", PHP: "7.4.3", MySQL: "8.0.41", Busybox: "1.30.1"},
		nginx:    "1.18.0", apache: []string{"2.4.41"},
	},
	{
		distro: Distro{ID: "ubuntu", Name: "Ubuntu", Version: "22.04", Codename: "jammy"},
		points: []string{"22.04.4", "22.04.5"},
		kernels: [][2]string{
			{"5.15.0-91-generic", "#101-Ubuntu SMP Tue Nov 14 13:30:08 UTC 2023"},
			{"5.15.0-101-generic", "#111-Ubuntu SMP Tue Mar 5 20:16:58 UTC 2024"},
			{"5.15.0-107-generic", "#117-Ubuntu SMP Fri Apr 26 12:26:49 UTC 2024"},
			{"5.15.0-113-generic", "#123-Ubuntu SMP Mon Jun 10 08:16:17 UTC 2024"},
			{"5.15.0-117-generic", "#127-Ubuntu SMP Fri Jul 5 20:13:28 UTC 2024"},
			{"5.15.0-122-generic", "#132-Ubuntu SMP Thu Aug 29 13:45:52 UTC 2024"},
			{"5.15.0-125-generic", "#135-Ubuntu SMP Fri Sep 27 13:53:58 UTC 2024"},
			{"5.15.0-130-generic", "#140-Ubuntu SMP Wed Dec 18 17:59:53 UTC 2024"},
		},
		compiler: "gcc (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0, GNU ld (GNU Binutils for Ubuntu) 2.38",
		builder:  "buildd@lcy02-amd64-",
		sshVer:   "8.9p1", ssh: []string{"Ubuntu-3ubuntu0.6", "Ubuntu-3ubuntu0.7", "Ubuntu-3ubuntu0.10", "Ubuntu-3ubuntu0.11", "Ubuntu-3ubuntu0.13"},
		versions: Versions{Redis: "6.0.16", Python: "3.10.12", Perl: "5.34.0", Bash: "5.1.16", OpenSSL: "3.0.2", GCC: "11.4.0", Glibc: "2.35", Coreutils: "8.32", Curl: "7.81.0", Wget: "1.21.2", Git: "2.34.1", Systemd: "249", PHP: "8.1.2", MySQL: "8.0.41", Busybox: "1.30.1"},
		nginx:    "1.18.0", apache: []string{"2.4.52"},
	},
	{
		distro: Distro{ID: "ubuntu", Name: "Ubuntu", Version: "24.04", Codename: "noble"},
		points: []string{"24.04", "24.04.1", "24.04.2"},
		kernels: [][2]string{
			{"6.8.0-31-generic", "#31-Ubuntu SMP PREEMPT_DYNAMIC Sat Apr 20 00:40:06 UTC 2024"},
			{"6.8.0-35-generic", "#35-Ubuntu SMP PREEMPT_DYNAMIC Mon May 20 15:51:52 UTC 2024"},
			{"6.8.0-41-generic", "#41-Ubuntu SMP PREEMPT_DYNAMIC Fri Aug  2 20:41:06 UTC 2024"},
			{"6.8.0-45-generic", "#45-Ubuntu SMP PREEMPT_DYNAMIC Fri Aug 30 12:02:04 UTC 2024"},
			{"6.8.0-48-generic", "#48-Ubuntu SMP PREEMPT_DYNAMIC Fri Sep 27 14:04:52 UTC 2024"},
			{"6.8.0-51-generic", "#52-Ubuntu SMP PREEMPT_DYNAMIC Thu Dec  5 13:09:44 UTC 2024"},
			{"6.8.0-60-generic", "#63-Ubuntu SMP PREEMPT_DYNAMIC Tue Apr 15 19:04:15 UTC 2025"},
		},
		compiler: "x86_64-linux-gnu-gcc-13 (Ubuntu 13.2.0-23ubuntu4) 13.2.0, GNU ld (GNU Binutils for Ubuntu) 2.42",
		builder:  "buildd@lcy02-amd64-",
		sshVer:   "9.6p1", ssh: []string{"Ubuntu-3ubuntu13.4", "Ubuntu-3ubuntu13.5", "Ubuntu-3ubuntu13.8", "Ubuntu-3ubuntu13.11", "Ubuntu-3ubuntu13.12"},
		versions: Versions{Redis: "7.0.15", Python: "3.12.3", Perl: "5.38.2", Bash: "5.2.21", OpenSSL: "3.0.13", GCC: "13.2.0", Glibc: "2.39", Coreutils: "9.4", Curl: "8.5.0", Wget: "1.21.4", Git: "2.43.0", Systemd: "255", PHP: "8.3.6", MySQL: "8.0.41", Busybox: "1.36.1"},
		nginx:    "1.24.0", apache: []string{"2.4.58"},
	},
}

func releaseOf(d Distro) *release {
	for i := range releases {
		if releases[i].distro.Codename == d.Codename {
			return &releases[i]
		}
	}
	panic("BUG: persona has an unknown distribution " + d.Codename)
}

func (p *Persona) pickSystem(s *source) {
	// Weighted as the installed base is: the middle releases dominate.
	r := &releases[pick(s, []int{0, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4})]
	p.Distro = r.distro
	p.Distro.Point = pick(s, r.points)
	p.Distro.PrettyName = "Ubuntu " + p.Distro.Point + " LTS"
	if r.distro.ID == "debian" {
		p.Distro.PrettyName = "Debian GNU/Linux " + r.distro.Version + " (" + r.distro.Codename + ")"
	}
	k := pick(s, r.kernels)
	p.Kernel = Kernel{Release: k[0], Version: k[1], Machine: "x86_64", Compiler: r.compiler, Builder: r.builder}
	if strings.HasSuffix(r.builder, "-") {
		p.Kernel.Builder += s.text("0123456789", 1) + s.text(digits, 2)
	}
	p.Versions = r.versions
	comment := pick(s, r.ssh)
	p.SSH = SSH{
		Banner:  "SSH-2.0-OpenSSH_" + r.sshVer + " " + comment,
		Package: "1:" + r.sshVer + "-" + comment[strings.IndexByte(comment, '-')+1:],
		OpenSSL: "OpenSSH_" + r.sshVer + " " + comment + ", OpenSSL " + r.versions.OpenSSL,
	}
	p.MachineID = s.hex(16)
	p.Timezone = "Etc/UTC"
}
