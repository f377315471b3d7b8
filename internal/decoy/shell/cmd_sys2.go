package shell

import (
	"fmt"
	"strings"
)

func cmdFree(c *call) int {
	o := c.flags("hmgkbtws:c:")
	m := memory(c.sh.p, c.sh.now())
	sw := c.sh.p.Hardware.SwapKB
	f := func(kb int64) string {
		switch {
		case o.has("h"):
			v, u := float64(kb), "Ki"
			if v >= 1<<20 {
				v, u = v/(1<<20), "Gi"
			} else if v >= 1<<10 {
				v, u = v/(1<<10), "Mi"
			}
			if kb == 0 {
				return "0B"
			}
			if v < 10 {
				return fmt.Sprintf("%.1f%s", v, u)
			}
			return fmt.Sprintf("%.0f%s", v, u)
		case o.has("m"):
			return itoa(int(kb >> 10))
		case o.has("g"):
			return itoa(int(kb >> 20))
		case o.has("b"):
			return itoa(int(kb << 10))
		}
		return itoa(int(kb))
	}
	c.printf("               total        used        free      shared  buff/cache   available\n%-8s %11s %11s %11s %11s %11s %11s\n%-8s %11s %11s %11s\n", "Mem:", f(m[0]), f(m[1]), f(m[2]), f(m[3]), f(m[4]), f(m[5]), "Swap:", f(sw), f(0), f(sw))
	return 0
}

func cmdDf(c *call) int {
	o := c.flags("hHkTialPmx:t:B:")
	h := c.sh.p.Hardware
	rows := []struct {
		dev, kind string
		kb        int64
		used      int
		at        string
	}{{"udev", "devtmpfs", h.MemKB / 2, 0, "/dev"}, {"tmpfs", "tmpfs", h.MemKB / 10, 1, "/run"}, {"/dev/" + c.sh.p.RootPartition(), "ext4", int64(h.DiskGB) << 20 * 98 / 100, h.DiskUsed, "/"}, {"tmpfs", "tmpfs", h.MemKB / 2, 0, "/dev/shm"}, {"tmpfs", "tmpfs", 5120, 0, "/run/lock"}, {"tmpfs", "tmpfs", h.MemKB / 10, 0, "/run/user/0"}}
	size := func(kb int64) string {
		if o.has("h", "H") {
			return human(kb << 10)
		}
		if o.has("m") {
			return itoa(int(kb >> 10))
		}
		return itoa(int(kb))
	}
	head := "1K-blocks      Used Available"
	if o.has("h", "H") {
		head = "     Size  Used     Avail"
	}
	kind := map[bool]string{true: "Type     "}[o.has("T")]
	c.printf("Filesystem     %s%s Use%% Mounted on\n", kind, head)
	for _, r := range rows {
		if len(o.rest) > 0 && r.at != "/" {
			continue
		}
		if o.has("T") {
			kind = fmt.Sprintf("%-9s", r.kind)
		}
		used := r.kb * int64(r.used) / 100
		c.printf("%-14s %s%9s %9s %9s %3d%% %s\n", r.dev, kind, size(r.kb), size(used), size(r.kb-used), r.used, r.at)
	}
	return 0
}

func cmdMount(c *call) int {
	if len(c.args) > 0 && c.args[0] != "-l" {
		if c.sh.who.uid != 0 {
			return c.fail(1, "only root can do that")
		}
		last := c.args[len(c.args)-1]
		if strings.Contains(strings.Join(c.args, " "), "remount") {
			return 0
		}
		return c.fail(32, "%s: special device %s does not exist.", last, c.args[max(0, len(c.args)-2)])
	}
	b, err := c.sh.fs.slurp("/proc/mounts")
	if err != nil {
		return 1
	}
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.Fields(l)
		c.printf("%s on %s type %s (%s)\n", f[0], f[1], f[2], f[3])
	}
	return 0
}

func cmdUmount(c *call) int {
	for _, a := range c.flags("lfanr").rest {
		return c.fail(32, "%s: target is busy.", a)
	}
	return 0
}

func cmdLscpu(c *call) int {
	h := c.sh.p.Hardware
	c.printf("Architecture:                       x86_64\nCPU op-mode(s):                     32-bit, 64-bit\nAddress sizes:                      46 bits physical, 48 bits virtual\nByte Order:                         Little Endian\nCPU(s):                             %d\nOn-line CPU(s) list:                0-%d\nVendor ID:                          %s\nModel name:                         %s\nCPU family:                         %d\nModel:                              %d\nThread(s) per core:                 1\nCore(s) per socket:                 %d\nSocket(s):                          1\nStepping:                           %d\nBogoMIPS:                           %.2f\nFlags:                              %s\nHypervisor vendor:                  KVM\nVirtualization type:                full\nL3 cache:                           %d MiB (1 instance)\nNUMA node(s):                       1\nNUMA node0 CPU(s):                  0-%d\n",
		h.Cores, h.Cores-1, h.CPUVendor, h.CPUModel, h.CPUFamily, h.CPUModelNo, h.Cores, h.CPUStepping, h.Bogomips, h.CPUFlags, max(1, h.CacheKB/1024), h.Cores-1)
	return 0
}

func cmdNproc(c *call) int { c.printf("%d\n", c.sh.p.Hardware.Cores); return 0 }

func cmdLsb(c *call) int {
	o := c.flags("aidrcs")
	d := c.sh.p.Distro
	if !o.has("s") {
		fmt.Fprintln(c.err, "No LSB modules are available.")
	}
	for _, f := range []struct{ flag, name, val string }{{"i", "Distributor ID", map[string]string{"ubuntu": "Ubuntu", "debian": "Debian"}[d.ID]}, {"d", "Description", d.PrettyName}, {"r", "Release", d.Version}, {"c", "Codename", d.Codename}} {
		if !o.has("a", "all", f.flag) {
			continue
		}
		if o.has("s") {
			c.printf("%s\n", f.val)
		} else {
			c.printf("%s:\t%s\n", f.name, f.val)
		}
	}
	return 0
}

func cmdDmesg(c *call) int {
	if c.sh.who.uid != 0 {
		return c.fail(1, "read kernel buffer failed: Operation not permitted")
	}
	p := c.sh.p
	for i, l := range []string{p.ProcVersion(), "Command line: BOOT_IMAGE=/boot/vmlinuz-" + p.Kernel.Release + " root=UUID=" + p.Hardware.RootUUID + " ro quiet", "BIOS-provided physical RAM map:", "NX (Execute Disable) protection: active", "DMI: " + p.Hardware.Vendor + " " + p.Hardware.Product, "Hypervisor detected: KVM", "smpboot: CPU0: " + p.Hardware.CPUModel, "EXT4-fs (" + p.RootPartition() + "): mounted filesystem with ordered data mode", "systemd[1]: Hostname set to <" + p.Hostname + ">.", "IPv6: ADDRCONF(NETDEV_CHANGE): " + p.Interfaces[0].Name + ": link becomes ready"} {
		c.printf("[%12.6f] %s\n", float64(i*i)*0.131072, l)
	}
	return 0
}

func cmdLspci(c *call) int {
	c.print("00:00.0 Host bridge: Intel Corporation 82G33/G31/P35/P31 Express DRAM Controller\n00:01.0 VGA compatible controller: Red Hat, Inc. Virtio 1.0 GPU (rev 01)\n00:02.0 Ethernet controller: Red Hat, Inc. Virtio network device\n00:03.0 SCSI storage controller: Red Hat, Inc. Virtio block device\n")
	if g := c.sh.p.Hardware.GPU; g != "" {
		c.printf("00:1e.0 3D controller: NVIDIA Corporation [%s] (rev a1)\n", g)
	}
	return 0
}

func cmdLsblk(c *call) int {
	h := c.sh.p.Hardware
	part := c.sh.p.RootPartition()
	switch c.name {
	case "fdisk":
		c.printf("Disk /dev/%s: %d GiB, %d bytes, %d sectors\nUnits: sectors of 1 * 512 = 512 bytes\nSector size (logical/physical): 512 bytes / 512 bytes\nDisklabel type: gpt\n\nDevice      Start       End   Sectors  Size Type\n/dev/%s   2048 %d %d  %dG Linux filesystem\n", h.DiskDevice, h.DiskGB, int64(h.DiskGB)<<30, int64(h.DiskGB)<<21, part, int64(h.DiskGB)<<21-34, int64(h.DiskGB)<<21-2082, h.DiskGB)
	case "blkid":
		c.printf("/dev/%s: UUID=\"%s\" BLOCK_SIZE=\"4096\" TYPE=\"ext4\"\n", part, h.RootUUID)
	default:
		c.printf("NAME%s MAJ:MIN RM  SIZE RO TYPE MOUNTPOINTS\n%-8s 252:0    0  %3dG  0 disk \n└─%-6s 252:1    0  %3dG  0 part /\n", strings.Repeat(" ", 4), h.DiskDevice, h.DiskGB, part, h.DiskGB)
	}
	return 0
}

func cmdNvidia(c *call) int {
	h := c.sh.p.Hardware
	if len(c.args) > 0 && strings.HasPrefix(c.args[0], "-L") {
		c.printf("GPU 0: %s (UUID: GPU-%x)\n", h.GPU, c.sh.p.Derive("gpu", 16))
		return 0
	}
	if q := strings.Join(c.args, " "); strings.Contains(q, "--query-gpu") {
		if !strings.Contains(q, "noheader") {
			c.print("name, memory.total [MiB], driver_version\n")
		}
		c.printf("%s, %d MiB, %s\n", h.GPU, h.GPUMemMB, h.GPUDriver)
		return 0
	}
	line := "+-----------------------------------------------------------------------------------------+\n"
	c.printf("%s\n%s| NVIDIA-SMI %-15s        Driver Version: %-15s CUDA Version: 12.4     |\n|-----------------------------------------+------------------------+----------------------+\n| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |\n| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |\n|=========================================+========================+======================|\n|   0  %-26s     On  |   00000000:00:1E.0 Off |                    0 |\n| N/A   34C    P8             14W /   70W |   %6dMiB / %6dMiB |      0%%      Default |\n+-----------------------------------------+------------------------+----------------------+\n\n%s| Processes:                                                                              |\n|  No running processes found                                                             |\n%s",
		c.sh.now().UTC().Format("Mon Jan _2 15:04:05 2006"), line, h.GPUDriver, h.GPUDriver, clip(h.GPU, 26), 2, h.GPUMemMB, line, line)
	return 0
}

func cmdLsmod(c *call) int {
	c.print("Module                  Size  Used by\nxt_conntrack           16384  1\nnf_nat                 57344  2\nnf_conntrack          172032  2 xt_conntrack,nf_nat\noverlay               163840  2\nvirtio_net             61440  0\n")
	if c.sh.p.Hardware.GPU != "" {
		c.print("nvidia              56770560  2 nvidia_modeset\n")
	}
	return 0
}

func cmdEnv(c *call) int {
	args := c.args
	e := c.e.sub()
	for len(args) > 0 && c.name == "env" {
		k, v, ok := strings.Cut(args[0], "=")
		switch {
		case ok && isName(k):
			e.setExport(k, v)
		case args[0] == "-i" || args[0] == "-":
			for n, v := range e.vars {
				if v.exported {
					delete(e.vars, n)
				}
			}
		case args[0] == "-u" && len(args) > 1:
			delete(e.vars, args[1])
			args = args[1:]
		case args[0] == "-S":
		default:
			e.invoke(args, 5)
			return e.status
		}
		args = args[1:]
	}
	if c.name == "printenv" && len(args) > 0 {
		v, ok := e.lookup(args[0])
		if ok {
			c.printf("%s\n", v)
		}
		return int(b2i(!ok))
	}
	for _, l := range e.environ() {
		c.printf("%s\n", l)
	}
	return 0
}

func cmdTTY(c *call) int {
	if !c.tty() {
		c.print("not a tty\n")
		return 1
	}
	c.printf("/dev/%s\n", c.sh.tty)
	return 0
}

func cmdClear(c *call) int {
	if c.outTTY() {
		c.print("\x1b[H\x1b[2J\x1b[3J")
	} else {
		fmt.Fprint(c.err, "TERM environment variable not set.\n")
	}
	return 0
}

func cmdVmstat(c *call) int {
	m := memory(c.sh.p, c.sh.now())
	c.printf("procs -----------memory---------- ---swap-- -----io---- -system-- ------cpu-----\n r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st\n 1  0      0 %6d %6d %6d    0    0     6    21   84  131  1  1 98  0  0\n", m[2], m[4]/12, m[4])
	return 0
}

func cmdLsof(c *call) int {
	c.print("COMMAND     PID  USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n")
	for i, k := range c.sh.p.Sockets {
		c.printf("%-9s %5d %5s %4du  IPv4 %6d      0t0  TCP %s (LISTEN)\n", clip(k.Program, 9), k.PID, clip(k.User, 5), 3+i, 18000+i*13, strings.Replace(k.Addr, "0.0.0.0", "*", 1))
	}
	return 0
}

func cmdSysctl(c *call) int {
	for _, a := range c.flags("wpane").rest {
		if k, v, ok := strings.Cut(a, "="); ok {
			c.printf("%s = %s\n", strings.TrimSpace(k), strings.TrimSpace(v))
			continue
		}
		b, err := c.sh.fs.slurp("/proc/sys/" + strings.ReplaceAll(a, ".", "/"))
		if err != nil {
			return c.fail(255, "cannot stat /proc/sys/%s: No such file or directory", strings.ReplaceAll(a, ".", "/"))
		}
		c.printf("%s = %s", a, b)
	}
	return 0
}

// cmdNice stands for all wrappers that run another command.
func cmdNice(c *call) int {
	args := c.args
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if (args[0] == "-n" || args[0] == "-c" || args[0] == "-p") && len(args) > 1 {
			args = args[1:]
		}
		args = args[1:]
	}
	if len(args) == 0 {
		if c.name == "nice" {
			c.print("0\n")
			return 0
		}
		return c.fail(125, "missing operand\nTry '%s --help' for more information.", c.name)
	}
	if c.name == "nohup" && c.tty() {
		fmt.Fprintln(c.err, "nohup: ignoring input and appending output to 'nohup.out'")
	}
	e := c.e.sub()
	e.invoke(args, 5)
	return e.status
}

func cmdLocale(c *call) int {
	c.print("LANG=en_US.UTF-8\nLANGUAGE=\nLC_CTYPE=\"en_US.UTF-8\"\nLC_ALL=\n")
	return 0
}

func cmdGetconf(c *call) int {
	if len(c.args) == 0 {
		return c.fail(2, "Usage: getconf [-v specification] variable_name [pathname]")
	}
	v, ok := map[string]string{"LONG_BIT": "64", "PAGESIZE": "4096", "PAGE_SIZE": "4096", "_NPROCESSORS_ONLN": itoa(c.sh.p.Hardware.Cores), "ARG_MAX": "2097152", "GNU_LIBC_VERSION": "glibc " + c.sh.p.Versions.Glibc}[c.args[0]]
	if !ok {
		return c.fail(2, "Unrecognized variable `%s'", c.args[0])
	}
	c.printf("%s\n", v)
	return 0
}

func cmdDmidecode(c *call) int {
	h := c.sh.p.Hardware
	c.printf("# dmidecode 3.4\nGetting SMBIOS data from sysfs.\nSMBIOS 2.8 present.\n\nHandle 0x0100, DMI type 1, 27 bytes\nSystem Information\n\tManufacturer: %s\n\tProduct Name: %s\n", h.Vendor, h.Product)
	return 0
}
