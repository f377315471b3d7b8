package shell

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/system"
	"bartizan/internal/decoy/shell/vfs"
)

func (b *builder) proc() {
	p := b.p
	b.file("/proc/version", 0o444, p.ProcVersion()+"\n")
	b.file("/proc/cpuinfo", 0o444, b.cpuinfo())
	b.file("/proc/cmdline", 0o444, "BOOT_IMAGE=/boot/vmlinuz-"+p.Kernel.Release+" root=UUID="+p.Hardware.RootUUID+" ro quiet\n")
	b.file("/proc/filesystems", 0o444, "nodev\tsysfs\nnodev\ttmpfs\nnodev\tbdev\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevtmpfs\n\text3\n\text2\n\text4\n\tsquashfs\n\tvfat\nnodev\toverlay\n")
	b.file("/proc/modules", 0o444, "xt_conntrack 16384 1 - Live 0x0000000000000000\nnf_nat 57344 2 - Live 0x0000000000000000\noverlay 163840 2 - Live 0x0000000000000000\nvirtio_net 61440 0 - Live 0x0000000000000000\n")
	b.file("/proc/swaps", 0o444, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
	b.file("/proc/partitions", 0o444, fmt.Sprintf("major minor  #blocks  name\n\n 252        0 %10d %s\n 252        1 %10d %s\n", p.Hardware.DiskGB<<20, p.Hardware.DiskDevice, p.Hardware.DiskGB<<20-1024, p.RootPartition()))
	b.file("/proc/sys/kernel/hostname", 0o644, p.Hostname+"\n")
	b.file("/proc/sys/kernel/osrelease", 0o444, p.Kernel.Release+"\n")
	b.file("/proc/sys/kernel/ostype", 0o444, "Linux\n")
	b.file("/proc/sys/vm/nr_hugepages", 0o644, "0\n")
	b.file("/proc/mounts", 0o444, b.mounts())
	b.file("/proc/self/mounts", 0o444, b.mounts())
	b.put("/proc/self/exe", &vfs.Node{Mode: vfs.ModeLink | 0o777, Target: "/usr/bin/bash"})
	b.put("/proc/self/cwd", &vfs.Node{Mode: vfs.ModeLink | 0o777, Target: "/root"})
	b.mkdir("/proc/self/fd")
	b.file("/proc/self/cmdline", 0o444, "-bash\x00")
	b.file("/proc/self/status", 0o444, "Name:\tbash\nUmask:\t0022\nState:\tR (running)\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n")
	b.file("/proc/self/cgroup", 0o444, "0::/user.slice/user-0.slice/session-1.scope\n")
	b.file("/proc/1/cgroup", 0o444, "0::/init.scope\n")
	b.gen("/proc/uptime", func(now time.Time) []byte {
		up := p.Uptime(now).Seconds()
		return fmt.Appendf(nil, "%.2f %.2f\n", up, up*float64(p.Hardware.Cores)*0.94)
	})
	b.gen("/proc/loadavg", func(now time.Time) []byte {
		l := system.Load(p, now)
		return fmt.Appendf(nil, "%.2f %.2f %.2f 1/%d %d\n", l[0], l[1], l[2], 140+len(p.Processes), 2000+int(now.Unix()/40)%28000)
	})
	b.gen("/proc/meminfo", func(now time.Time) []byte { return system.Meminfo(p, now) })
	b.gen("/proc/stat", func(now time.Time) []byte {
		up := int(p.Uptime(now).Seconds())
		return fmt.Appendf(nil, "cpu  %d 312 %d %d 1021 0 220 0 0 0\nbtime %d\nprocesses %d\n", up*2, up, up*95*p.Hardware.Cores, p.BootedAt.Unix(), 2000+int(now.Unix()/40)%28000)
	})
	b.procNet()
	b.procTasks()
}

func (b *builder) procNet() {
	p := b.p
	b.gen("/proc/net/dev", func(now time.Time) []byte {
		var o bytes.Buffer
		o.WriteString("Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n")
		for i, n := range append([]string{"lo"}, system.IfaceNames(p)...) {
			rx, tx := system.Traffic(p, now, i)
			fmt.Fprintf(&o, "%6s: %d %d    0    0    0     0          0         0 %d %d    0    0    0     0       0          0\n", n, rx, rx/731, tx, tx/512)
		}
		return o.Bytes()
	})
	b.gen("/proc/net/route", func(now time.Time) []byte {
		i := p.Interfaces[0]
		a, g := i.Addr.Masked().Addr().As4(), p.Gateway.As4()
		return fmt.Appendf(nil, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n%s\t00000000\t%08X\t0003\t0\t0\t0\t00000000\t0\t0\t0\n%s\t%08X\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", i.Name, binary.LittleEndian.Uint32(g[:]), i.Name, binary.LittleEndian.Uint32(a[:]))
	})
	b.gen("/proc/net/tcp", func(now time.Time) []byte {
		var o bytes.Buffer
		o.WriteString("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n")
		for i, k := range p.Sockets {
			var port int
			if c := strings.LastIndexByte(k.Addr, ':'); k.Proto != "tcp" || c < 0 {
				continue
			} else if _, err := fmt.Sscan(k.Addr[c+1:], &port); err != nil {
				continue
			}
			host := "00000000"
			if strings.HasPrefix(k.Addr, "127.") {
				host = "0100007F"
			}
			fmt.Fprintf(&o, "%4d: %s:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 %d 1 0000000000000000 100 0 0 10 0\n", i, host, port, 18000+i*13)
		}
		return o.Bytes()
	})
}

func (b *builder) procTasks() {
	for _, pr := range b.p.Processes {
		d := fmt.Sprintf("/proc/%d", pr.PID)
		name := strings.Trim(strings.Fields(pr.Command)[0], "[]:")
		comm := name[strings.LastIndexByte(name, '/')+1:]
		if pr.PID == 1 {
			comm = "systemd"
		}
		b.file(d+"/comm", 0o444, comm+"\n")
		if !strings.HasPrefix(pr.Command, "[") {
			b.file(d+"/cmdline", 0o444, strings.ReplaceAll(pr.Command, " ", "\x00")+"\x00")
			b.put(d+"/exe", &vfs.Node{Mode: vfs.ModeLink | 0o777, Target: name})
		} else {
			b.file(d+"/cmdline", 0o444, "")
		}
	}
}

func (b *builder) cpuinfo() string {
	h := b.p.Hardware
	var o strings.Builder
	for i := range h.Cores {
		fmt.Fprintf(&o, "processor\t: %d\nvendor_id\t: %s\ncpu family\t: %d\nmodel\t\t: %d\nmodel name\t: %s\nstepping\t: %d\nmicrocode\t: 0x1\ncpu MHz\t\t: %.3f\ncache size\t: %d KB\nphysical id\t: 0\nsiblings\t: %d\ncore id\t\t: %d\ncpu cores\t: %d\napicid\t\t: %d\ninitial apicid\t: %d\nfpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: 13\nwp\t\t: yes\nflags\t\t: %s\nbogomips\t: %.2f\nclflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: 46 bits physical, 48 bits virtual\npower management:\n\n",
			i, h.CPUVendor, h.CPUFamily, h.CPUModelNo, h.CPUModel, h.CPUStepping, h.CPUMHz, h.CacheKB, h.Cores, i, h.Cores, i, i, h.CPUFlags, h.Bogomips)
	}
	return o.String()
}

func (b *builder) mounts() string {
	return "sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0\nproc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\nudev /dev devtmpfs rw,nosuid,relatime,size=" + interp.Itoa(int(b.p.Hardware.MemKB/2)) + "k,nr_inodes=500000,mode=755,inode64 0 0\ndevpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=000 0 0\ntmpfs /run tmpfs rw,nosuid,nodev,noexec,relatime,size=" + interp.Itoa(int(b.p.Hardware.MemKB/10)) + "k,mode=755,inode64 0 0\n/dev/" + b.p.RootPartition() + " / ext4 rw,relatime,errors=remount-ro 0 0\ntmpfs /dev/shm tmpfs rw,nosuid,nodev,inode64 0 0\ntmpfs /run/lock tmpfs rw,nosuid,nodev,noexec,relatime,size=5120k,inode64 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate,memory_recursiveprot 0 0\n"
}
