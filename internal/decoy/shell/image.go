package shell

import (
	"fmt"
	"path"
	"strings"
	"time"

	"bartizan/internal/decoy/persona"
	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/system"
	"bartizan/internal/decoy/shell/tools"
	"bartizan/internal/decoy/shell/vfs"
)

type builder struct {
	root *vfs.Node
	p    *persona.Persona
	t    time.Time
}

func buildImage(p *persona.Persona) *interp.Image {
	b := &builder{p: p, t: p.InstalledAt}
	b.root = &vfs.Node{Mode: vfs.ModeDir | 0o755, Mtime: b.t, Kids: map[string]*vfs.Node{}}
	img := &interp.Image{Root: b.root, Commands: map[string]interp.CommandFunc{}, Builtins: interp.BuiltinTable()}
	for _, table := range []map[string]interp.CommandFunc{tools.FileCommands(), tools.TextCommands(), system.SystemCommands(), system.NetworkCommands(), system.AdminCommands(), system.DevCommands()} {
		for name, f := range table {
			img.Commands[name] = f
		}
	}
	b.layout()
	b.etc()
	b.accounts()
	b.homes()
	b.site()
	b.logs()
	b.proc()
	b.devices()
	b.programs(img.Commands)
	return img
}

func (b *builder) put(p string, n *vfs.Node) *vfs.Node {
	dir := b.mkdir(path.Dir(p))
	n.Mtime = b.t
	dir.Kids[path.Base(p)] = n
	return n
}

// mkdir makes a directory and its parents; mode 0o755, owned by root.
func (b *builder) mkdir(p string) *vfs.Node {
	cur := b.root
	for _, c := range vfs.Split(p) {
		kid := cur.Kids[c]
		if kid == nil {
			kid = &vfs.Node{Mode: vfs.ModeDir | 0o755, Mtime: b.t, Kids: map[string]*vfs.Node{}}
			cur.Kids[c] = kid
		}
		if kid.IsLink() {
			return b.mkdir(kid.Target)
		}
		cur = kid
	}
	return cur
}

func (b *builder) file(p string, mode uint32, content string) *vfs.Node {
	return b.put(p, &vfs.Node{Mode: vfs.ModeReg | mode, Data: []byte(content)})
}

func (b *builder) link(p, target string) {
	b.put(p, &vfs.Node{Mode: vfs.ModeLink | 0o777, Target: target})
}

func (b *builder) gen(p string, f func(now time.Time) []byte) {
	b.put(p, &vfs.Node{Mode: vfs.ModeReg | 0o444, Gen: f})
}

func (b *builder) layout() {
	for _, d := range []string{"/boot", "/dev", "/etc", "/home", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/srv", "/sys", "/tmp", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/local/bin", "/usr/local/sbin", "/usr/share", "/usr/include", "/usr/games", "/var/tmp", "/var/log", "/var/www", "/var/backups", "/var/mail", "/var/spool/cron/crontabs", "/var/lib/dpkg", "/var/lib/docker", "/var/cache/apt", "/run/lock", "/run/user/0", "/dev/shm", "/dev/pts", "/sys/class/net", "/etc/cron.d", "/etc/init.d", "/etc/systemd/system"} {
		b.mkdir(d)
	}
	for _, d := range []string{"/tmp", "/var/tmp", "/dev/shm", "/run/lock"} {
		b.mkdir(d).Mode = vfs.ModeDir | 0o1777
	}
	b.mkdir("/root").Mode = vfs.ModeDir | 0o700
	b.mkdir("/lost+found").Mode = vfs.ModeDir | 0o700
	for _, l := range [][2]string{{"/bin", "usr/bin"}, {"/sbin", "usr/sbin"}, {"/lib", "usr/lib"}, {"/lib64", "usr/lib64"}, {"/var/run", "/run"}, {"/var/lock", "/run/lock"}} {
		b.link(l[0], "/"+strings.TrimPrefix(l[1], "/"))
	}
	for _, a := range b.p.Interfaces {
		b.file("/sys/class/net/"+a.Name+"/address", 0o444, a.MAC+"\n")
	}
	b.file("/boot/vmlinuz-"+b.p.Kernel.Release, 0o600, "").Size = 8174912
	b.file("/boot/initrd.img-"+b.p.Kernel.Release, 0o644, "").Size = 38142013
	b.link("/vmlinuz", "/boot/vmlinuz-"+b.p.Kernel.Release)
	b.link("/initrd.img", "/boot/initrd.img-"+b.p.Kernel.Release)
	b.file("/sys/class/dmi/id/sys_vendor", 0o444, b.p.Hardware.Vendor+"\n")
	b.file("/sys/class/dmi/id/product_name", 0o444, b.p.Hardware.Product+"\n")
}

func (b *builder) etc() {
	p := b.p
	b.file("/etc/hostname", 0o644, p.Hostname+"\n")
	b.file("/etc/hosts", 0o644, "127.0.0.1\tlocalhost\n127.0.1.1\t"+p.FQDN()+"\t"+p.Hostname+"\n\n# The following lines are desirable for IPv6 capable hosts\n::1     localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n")
	var ns strings.Builder
	for _, r := range p.Resolvers {
		ns.WriteString("nameserver " + r.String() + "\n")
	}
	b.file("/etc/resolv.conf", 0o644, ns.String()+"search "+p.Domain+"\n")
	b.file("/etc/os-release", 0o644, osRelease(p))
	b.file("/usr/lib/os-release", 0o644, osRelease(p))
	b.file("/etc/machine-id", 0o444, p.MachineID+"\n")
	b.file("/etc/timezone", 0o644, p.Timezone+"\n")
	issue := p.Distro.Name + " " + p.Distro.Version + " \\n \\l\n\n"
	if p.Distro.ID == "ubuntu" {
		issue = p.Distro.PrettyName + " \\n \\l\n\n"
		b.file("/etc/lsb-release", 0o644, "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE="+p.Distro.Version+"\nDISTRIB_CODENAME="+p.Distro.Codename+"\nDISTRIB_DESCRIPTION=\""+p.Distro.PrettyName+"\"\n")
		b.file("/etc/debian_version", 0o644, map[string]string{"20.04": "bullseye", "22.04": "bookworm", "24.04": "trixie"}[p.Distro.Version]+"/sid\n")
	} else {
		b.file("/etc/debian_version", 0o644, p.Distro.Point+"\n")
		b.file("/etc/motd", 0o644, "\nThe programs included with the Debian GNU/Linux system are free software;\nthe exact distribution terms for each program are described in the\nindividual files in /usr/share/doc/*/copyright.\n\nDebian GNU/Linux comes with ABSOLUTELY NO WARRANTY, to the extent\npermitted by applicable law.\n")
	}
	b.file("/etc/issue", 0o644, issue)
	b.file("/etc/issue.net", 0o644, strings.TrimSuffix(issue, " \\n \\l\n\n")+"\n")
	b.file("/etc/fstab", 0o644, "# /etc/fstab: static file system information.\n#\n# <file system> <mount point>   <type>  <options>       <dump>  <pass>\nUUID="+p.Hardware.RootUUID+" /               ext4    errors=remount-ro 0       1\n")
	b.file("/etc/shells", 0o644, "# /etc/shells: valid login shells\n/bin/sh\n/bin/bash\n/usr/bin/bash\n/bin/rbash\n/usr/bin/rbash\n/usr/bin/sh\n/bin/dash\n/usr/bin/dash\n/usr/bin/tmux\n/usr/bin/screen\n")
	b.file("/etc/profile", 0o644, "# /etc/profile: system-wide .profile file for the Bourne shell (sh(1))\n# and Bourne compatible shells (bash(1), ksh(1), ash(1), ...).\n\nif [ -d /etc/profile.d ]; then\n  for i in /etc/profile.d/*.sh; do\n    if [ -r $i ]; then\n      . $i\n    fi\n  done\n  unset i\nfi\n")
	b.file("/etc/ssh/sshd_config", 0o644, "Include /etc/ssh/sshd_config.d/*.conf\n\n#Port 22\nPermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nUsePAM yes\nX11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_*\nSubsystem\tsftp\t/usr/lib/openssh/sftp-server\n")
	b.file("/etc/crontab", 0o644, "# /etc/crontab: system-wide crontab\nSHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin\n\n17 *\t* * *\troot\tcd / && run-parts --report /etc/cron.hourly\n25 6\t* * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }\n47 6\t* * 7\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.weekly; }\n")
	b.file("/etc/rc.local", 0o755, "#!/bin/sh -e\n#\n# rc.local\n\nexit 0\n")
	b.file("/etc/sudoers", 0o440, "Defaults\tenv_reset\nDefaults\tmail_badpass\nDefaults\tsecure_path=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"\n\nroot\tALL=(ALL:ALL) ALL\n%sudo\tALL=(ALL:ALL) ALL\n")
	b.file("/etc/ld.so.conf", 0o644, "include /etc/ld.so.conf.d/*.conf\n")
	b.file("/etc/apt/sources.list", 0o644, aptSources(p))
	b.file("/etc/redis/redis.conf", 0o640, "bind 0.0.0.0\nprotected-mode no\nport 6379\nrequirepass "+p.Secrets.RedisPassword+"\ndir /var/lib/redis\n")
	b.file("/etc/environment", 0o644, "PATH=\"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games\"\n")
	b.file("/etc/nsswitch.conf", 0o644, "passwd:         files systemd\ngroup:          files systemd\nshadow:         files\nhosts:          files dns\nnetworks:       files\n")
	for _, c := range p.Crons {
		f := "/var/spool/cron/crontabs/" + c.User
		old := ""
		if n := b.mkdir(path.Dir(f)).Kids[c.User]; n != nil {
			old = string(n.Data)
		}
		b.file(f, 0o600, old+c.Schedule+" "+c.Command+"\n")
	}
}

func osRelease(p *persona.Persona) string {
	d := p.Distro
	if d.ID == "ubuntu" {
		return fmt.Sprintf("PRETTY_NAME=\"%s\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"%s\"\nVERSION=\"%s LTS (%s)\"\nVERSION_CODENAME=%s\nID=ubuntu\nID_LIKE=debian\nHOME_URL=\"https://www.ubuntu.com/\"\nSUPPORT_URL=\"https://help.ubuntu.com/\"\nBUG_REPORT_URL=\"https://bugs.launchpad.net/ubuntu/\"\nUBUNTU_CODENAME=%s\n",
			d.PrettyName, d.Version, d.Point, map[string]string{"focal": "Focal Fossa", "jammy": "Jammy Jellyfish", "noble": "Noble Numbat"}[d.Codename], d.Codename, d.Codename)
	}
	return fmt.Sprintf("PRETTY_NAME=\"%s\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"%s\"\nVERSION=\"%s (%s)\"\nVERSION_CODENAME=%s\nID=debian\nHOME_URL=\"https://www.debian.org/\"\nSUPPORT_URL=\"https://www.debian.org/support\"\nBUG_REPORT_URL=\"https://bugs.debian.org/\"\n",
		d.PrettyName, d.Version, d.Version, d.Codename, d.Codename)
}

func aptSources(p *persona.Persona) string {
	c := p.Distro.Codename
	if p.Distro.ID == "ubuntu" {
		const u = "deb http://archive.ubuntu.com/ubuntu "
		return u + c + " main restricted universe multiverse\n" + u + c + "-updates main restricted universe multiverse\n" + u + c + "-security main restricted universe multiverse\n"
	}
	return "deb http://deb.debian.org/debian " + c + " main\ndeb http://deb.debian.org/debian " + c + "-updates main\ndeb http://security.debian.org/debian-security " + c + "-security main\n"
}

func (b *builder) accounts() {
	var passwd, shadow, group strings.Builder
	day := int(b.p.InstalledAt.Unix() / 86400)
	sys := persona.SystemUsers()
	all := append(append([]persona.User{b.p.Users[0]}, sys...), b.p.Users[1:]...)
	var sudoers []string
	for _, u := range all {
		fmt.Fprintf(&passwd, "%s:x:%d:%d:%s:%s:%s\n", u.Name, u.UID, u.GID, u.Gecos, u.Home, u.Shell)
		fmt.Fprintf(&shadow, "%s:%s:%d:0:99999:7:::\n", u.Name, u.PasswordHash, day)
		if u.Sudo {
			sudoers = append(sudoers, u.Name)
		}
	}
	members := strings.Join(sudoers, ",")
	group.WriteString("root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:syslog," + members + "\ntty:x:5:\ndisk:x:6:\nlp:x:7:\nmail:x:8:\nman:x:12:\nproxy:x:13:\nsudo:x:27:" + members + "\nwww-data:x:33:\nbackup:x:34:\nshadow:x:42:\nusers:x:100:\nsystemd-network:x:102:\nmessagebus:x:105:\nmysql:x:108:\nredis:x:109:\ndocker:x:998:" + members + "\nnogroup:x:65534:\n")
	for _, u := range b.p.Users[1:] {
		fmt.Fprintf(&group, "%s:x:%d:\n", u.Name, u.GID)
	}
	b.file("/etc/passwd", 0o644, passwd.String())
	b.file("/etc/shadow", 0o640, shadow.String()).Gid = 42
	b.file("/etc/group", 0o644, group.String())
	b.file("/etc/gshadow", 0o640, "root:*::\n").Gid = 42
}

const bashrc = `# ~/.bashrc: executed by bash(1) for non-login shells.

# If not running interactively, don't do anything
case $- in
    *i*) ;;
      *) return;;
esac

HISTCONTROL=ignoreboth
shopt -s histappend
HISTSIZE=1000
HISTFILESIZE=2000
shopt -s checkwinsize

alias ll='ls -alF'
alias la='ls -A'
alias l='ls -CF'
`

func (b *builder) homes() {
	p := b.p
	for _, u := range p.Users {
		own := func(n *vfs.Node) *vfs.Node { n.Uid, n.Gid = u.UID, u.GID; return n }
		if u.UID != 0 {
			own(b.mkdir(u.Home))
		}
		own(b.file(u.Home+"/.bashrc", 0o644, bashrc))
		own(b.file(u.Home+"/.profile", 0o644, "# ~/.profile: executed by Bourne-compatible login shells.\n\nif [ \"$BASH\" ]; then\n  if [ -f ~/.bashrc ]; then\n    . ~/.bashrc\n  fi\nfi\n\nmesg n 2> /dev/null || true\n"))
		if u.UID != 0 {
			own(b.file(u.Home+"/.bash_logout", 0o644, "# ~/.bash_logout: executed by bash(1) when login shell exits.\n"))
		}
		own(b.mkdir(u.Home + "/.ssh")).Mode = vfs.ModeDir | 0o700
		own(b.file(u.Home+"/.ssh/authorized_keys", 0o600, ""))
	}
	b.file("/root/.bash_history", 0o600, "apt update\napt upgrade -y\nsystemctl status "+p.Web.Server+"\ndocker ps\ncd /var/www/"+p.Domain+"\nvim .env\nmysql -u "+p.Secrets.DBUser+" -p\ntail -f /var/log/syslog\nhtop\ndf -h\naws s3 ls\nexit\n")
	b.file("/root/.aws/credentials", 0o600, "[default]\naws_access_key_id = "+p.Secrets.AWSAccessKeyID+"\naws_secret_access_key = "+p.Secrets.AWSSecretAccessKey+"\n")
	b.file("/root/.aws/config", 0o600, "[default]\nregion = eu-central-1\noutput = json\n")
	b.file("/usr/local/bin/backup.sh", 0o700, "#!/bin/bash\nset -e\nexport AWS_PROFILE=default\nmysqldump -u "+p.Secrets.DBUser+" -p'"+p.Secrets.DBPassword+"' "+p.Secrets.DBName+" | gzip > /var/backups/"+p.Secrets.DBName+"-$(date +%F).sql.gz\naws s3 cp /var/backups/ s3://"+p.Hostname+"-backup/ --recursive\n")
}

func (b *builder) site() {
	p := b.p
	root := "/var/www/" + p.Domain
	s := p.Secrets
	own := func(n *vfs.Node) { n.Uid, n.Gid = 33, 33 }
	own(b.file(root+"/.env", 0o640, "APP_NAME=\""+p.SiteName+"\"\nAPP_ENV=production\nAPP_KEY="+s.AppKey+"\nAPP_DEBUG=false\nAPP_URL=https://"+p.Domain+"\n\nDB_CONNECTION=mysql\nDB_HOST=127.0.0.1\nDB_PORT=3306\nDB_DATABASE="+s.DBName+"\nDB_USERNAME="+s.DBUser+"\nDB_PASSWORD="+s.DBPassword+"\n\nREDIS_PASSWORD="+s.RedisPassword+"\nMAIL_HOST=smtp."+p.Domain+"\nMAIL_PASSWORD="+s.SMTPPassword+"\nAWS_ACCESS_KEY_ID="+s.AWSAccessKeyID+"\nAWS_SECRET_ACCESS_KEY="+s.AWSSecretAccessKey+"\nOPENAI_API_KEY="+s.OpenAIKey+"\nSTRIPE_SECRET="+s.StripeKey+"\nJWT_SECRET="+s.JWTSecret+"\n"))
	own(b.file(root+"/index.php", 0o644, "<?php\nrequire __DIR__.'/bootstrap.php';\n$app->run();\n"))
	own(b.file(root+"/cron.php", 0o644, "<?php\nrequire __DIR__.'/bootstrap.php';\n$app->schedule();\n"))
	b.file("/var/www/html/index.html", 0o644, "<!DOCTYPE html>\n<html>\n<head><title>"+p.SiteName+"</title></head>\n<body><h1>"+p.SiteName+"</h1></body>\n</html>\n")
	conf := "/etc/nginx/sites-enabled/" + p.Domain
	text := "server {\n    listen 80;\n    server_name " + p.Domain + " www." + p.Domain + ";\n    root " + root + ";\n    index index.php index.html;\n}\n"
	if p.Web.Server != "nginx" {
		conf = "/etc/apache2/sites-enabled/" + p.Domain + ".conf"
		text = "<VirtualHost *:80>\n    ServerName " + p.Domain + "\n    DocumentRoot " + root + "\n</VirtualHost>\n"
	}
	b.file(conf, 0o644, text)
	b.file("/var/backups/dpkg.status.0", 0o644, "").Size = 812311
	b.file("/opt/README", 0o644, "ollama models live in /usr/share/ollama/.ollama/models\n")
}

func (b *builder) logs() {
	p := b.p
	var auth, sys strings.Builder
	for i := len(p.Logins) - 1; i >= 0; i-- {
		l := p.Logins[i]
		at := l.At.Format("Jan _2 15:04:05") + " " + p.Hostname
		fmt.Fprintf(&auth, "%s sshd[%d]: Accepted publickey for %s from %s port %d ssh2: ED25519 SHA256:%x\n", at, 900+i*37, l.User, l.From, 40000+i*811, p.Derive("log key "+l.User, 12))
		fmt.Fprintf(&auth, "%s sshd[%d]: pam_unix(sshd:session): session opened for user %s(uid=0) by (uid=0)\n", at, 900+i*37, l.User)
		fmt.Fprintf(&sys, "%s systemd[1]: Started Session %d of User %s.\n", at, 10+i, l.User)
		fmt.Fprintf(&sys, "%s CRON[%d]: (root) CMD (   cd / && run-parts --report /etc/cron.hourly)\n", at, 1200+i*53)
	}
	b.file("/var/log/auth.log", 0o640, auth.String()).Gid = 4
	b.file("/var/log/syslog", 0o640, sys.String()).Gid = 4
	b.file("/var/log/dpkg.log", 0o644, p.InstalledAt.Format("2006-01-02 15:04:05")+" startup archives unpack\n")
	b.file("/var/log/wtmp", 0o664, "").Size = 38400
	b.file("/var/log/btmp", 0o660, "").Size = 2304
	b.file("/var/log/lastlog", 0o664, "").Size = 292292
	b.file("/var/log/"+p.Web.Server+"/access.log", 0o640, "")
	b.file("/var/log/"+p.Web.Server+"/error.log", 0o640, "")
}

func (b *builder) devices() {
	for _, n := range []string{"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "kmsg"} {
		b.put("/dev/"+n, &vfs.Node{Mode: vfs.ModeChr | 0o666})
	}
	for i := range 4 {
		b.put(fmt.Sprintf("/dev/tty%d", i), &vfs.Node{Mode: vfs.ModeChr | 0o620, Gid: 5})
	}
	b.put("/dev/pts/0", &vfs.Node{Mode: vfs.ModeChr | 0o620, Gid: 5})
	disk := b.p.Hardware.DiskDevice
	b.put("/dev/"+disk, &vfs.Node{Mode: vfs.ModeBlk | 0o660, Gid: 6})
	b.put("/dev/"+b.p.RootPartition(), &vfs.Node{Mode: vfs.ModeBlk | 0o660, Gid: 6})
	b.link("/dev/stdin", "/proc/self/fd/0")
	b.link("/dev/stdout", "/proc/self/fd/1")
	b.link("/dev/stderr", "/proc/self/fd/2")
	b.link("/dev/fd", "/proc/self/fd")
	b.put("/etc/mtab", &vfs.Node{Mode: vfs.ModeLink | 0o777, Target: "/proc/self/mounts"})
}

// programs puts a file into /usr/bin or /usr/sbin for every command.
func (b *builder) programs(table map[string]interp.CommandFunc) {
	elf := system.ElfHeader(b.p)
	sbin := " useradd userdel usermod groupadd chpasswd iptables ip6tables ufw ifconfig route arp fdisk service modprobe lsmod sysctl reboot shutdown halt poweroff init swapon swapoff blkid adduser deluser "
	local := " ollama "
	for name := range table {
		dir := "/usr/bin/"
		switch {
		case strings.Contains(sbin, " "+name+" "):
			dir = "/usr/sbin/"
		case strings.Contains(local, " "+name+" "):
			dir = "/usr/local/bin/"
		}
		if (name == "nvidia-smi" && b.p.Hardware.GPU == "") || name == "yum" || name == "tftp" && b.p.Distro.Version == "24.04" {
			continue
		}
		d := b.p.Derive("size "+name, 4)
		n := &vfs.Node{Mode: vfs.ModeReg | 0o755, Prog: name, Data: elf, Size: 0}
		n.Size = int64(18000 + int(d[0])*512 + int(d[1])*16)
		b.put(dir+name, n)
	}
	if b.p.Hardware.GPU != "" {
		b.put("/dev/nvidia0", &vfs.Node{Mode: vfs.ModeChr | 0o666})
	}
	for _, s := range []string{"sudo", "su", "passwd", "mount", "umount"} {
		if n := b.mkdir("/usr/bin").Kids[s]; n != nil {
			n.Mode |= 0o4000
		}
	}
	py := "python3." + strings.Split(b.p.Versions.Python, ".")[1]
	if n := b.mkdir("/usr/bin").Kids["python3"]; n != nil {
		c := *n
		b.put("/usr/bin/"+py, &c)
	}
	delete(b.mkdir("/usr/bin").Kids, "python") // Debian and Ubuntu ship python3 only
}
