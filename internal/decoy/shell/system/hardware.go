package system

import (
	"fmt"
	"strings"

	"bartizan/internal/decoy/shell/interp"
	"bartizan/internal/decoy/shell/syntax"
	"bartizan/internal/decoy/shell/tools"
)

func cmdFree(c *interp.Call) int {
	o := c.Flags("hmgkbtws:c:")
	m := memory(c.Sh.P, c.Sh.Now())
	sw := c.Sh.P.Hardware.SwapKB
	f := func(kb int64) string {
		switch {
		case o.Has("h"):
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
		case o.Has("m"):
			return interp.Itoa(int(kb >> 10))
		case o.Has("g"):
			return interp.Itoa(int(kb >> 20))
		case o.Has("b"):
			return interp.Itoa(int(kb << 10))
		}
		return interp.Itoa(int(kb))
	}
	c.Printf("               total        used        free      shared  buff/cache   available\n%-8s %11s %11s %11s %11s %11s %11s\n%-8s %11s %11s %11s\n", "Mem:", f(m[0]), f(m[1]), f(m[2]), f(m[3]), f(m[4]), f(m[5]), "Swap:", f(sw), f(0), f(sw))
	return 0
}

func cmdDf(c *interp.Call) int {
	o := c.Flags("hHkTialPmx:t:B:")
	h := c.Sh.P.Hardware
	rows := []struct {
		dev, kind string
		kb        int64
		used      int
		at        string
	}{{"udev", "devtmpfs", h.MemKB / 2, 0, "/dev"}, {"tmpfs", "tmpfs", h.MemKB / 10, 1, "/run"}, {"/dev/" + c.Sh.P.RootPartition(), "ext4", int64(h.DiskGB) << 20 * 98 / 100, h.DiskUsed, "/"}, {"tmpfs", "tmpfs", h.MemKB / 2, 0, "/dev/shm"}, {"tmpfs", "tmpfs", 5120, 0, "/run/lock"}, {"tmpfs", "tmpfs", h.MemKB / 10, 0, "/run/user/0"}}
	size := func(kb int64) string {
		if o.Has("h", "H") {
			return tools.Human(kb << 10)
		}
		if o.Has("m") {
			return interp.Itoa(int(kb >> 10))
		}
		return interp.Itoa(int(kb))
	}
	head := "1K-blocks      Used Available"
	if o.Has("h", "H") {
		head = "     Size  Used     Avail"
	}
	kind := map[bool]string{true: "Type     "}[o.Has("T")]
	c.Printf("Filesystem     %s%s Use%% Mounted on\n", kind, head)
	for _, r := range rows {
		if len(o.Rest) > 0 && r.at != "/" {
			continue
		}
		if o.Has("T") {
			kind = fmt.Sprintf("%-9s", r.kind)
		}
		used := r.kb * int64(r.used) / 100
		c.Printf("%-14s %s%9s %9s %9s %3d%% %s\n", r.dev, kind, size(r.kb), size(used), size(r.kb-used), r.used, r.at)
	}
	return 0
}

func cmdMount(c *interp.Call) int {
	if len(c.Args) > 0 && c.Args[0] != "-l" {
		if c.Sh.Who.Uid != 0 {
			return c.Fail(1, "only root can do that")
		}
		last := c.Args[len(c.Args)-1]
		if strings.Contains(strings.Join(c.Args, " "), "remount") {
			return 0
		}
		return c.Fail(32, "%s: special device %s does not exist.", last, c.Args[max(0, len(c.Args)-2)])
	}
	b, err := c.Sh.Fs.Slurp("/proc/mounts")
	if err != nil {
		return 1
	}
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		f := strings.Fields(l)
		c.Printf("%s on %s type %s (%s)\n", f[0], f[1], f[2], f[3])
	}
	return 0
}

func cmdUmount(c *interp.Call) int {
	for _, a := range c.Flags("lfanr").Rest {
		return c.Fail(32, "%s: target is busy.", a)
	}
	return 0
}

func cmdLscpu(c *interp.Call) int {
	h := c.Sh.P.Hardware
	c.Printf("Architecture:                       x86_64\nCPU op-mode(s):                     32-bit, 64-bit\nAddress sizes:                      46 bits physical, 48 bits virtual\nByte Order:                         Little Endian\nCPU(s):                             %d\nOn-line CPU(s) list:                0-%d\nVendor ID:                          %s\nModel name:                         %s\nCPU family:                         %d\nModel:                              %d\nThread(s) per core:                 1\nCore(s) per socket:                 %d\nSocket(s):                          1\nStepping:                           %d\nBogoMIPS:                           %.2f\nFlags:                              %s\nHypervisor vendor:                  KVM\nVirtualization type:                full\nL3 cache:                           %d MiB (1 instance)\nNUMA node(s):                       1\nNUMA node0 CPU(s):                  0-%d\n",
		h.Cores, h.Cores-1, h.CPUVendor, h.CPUModel, h.CPUFamily, h.CPUModelNo, h.Cores, h.CPUStepping, h.Bogomips, h.CPUFlags, max(1, h.CacheKB/1024), h.Cores-1)
	return 0
}

func cmdNproc(c *interp.Call) int { c.Printf("%d\n", c.Sh.P.Hardware.Cores); return 0 }

func cmdLsb(c *interp.Call) int {
	o := c.Flags("aidrcs")
	d := c.Sh.P.Distro
	if !o.Has("s") {
		fmt.Fprintln(c.Err, "No LSB modules are available.")
	}
	for _, f := range []struct{ flag, name, val string }{{"i", "Distributor ID", map[string]string{"ubuntu": "Ubuntu", "debian": "Debian"}[d.ID]}, {"d", "Description", d.PrettyName}, {"r", "Release", d.Version}, {"c", "Codename", d.Codename}} {
		if !o.Has("a", "all", f.flag) {
			continue
		}
		if o.Has("s") {
			c.Printf("%s\n", f.val)
		} else {
			c.Printf("%s:\t%s\n", f.name, f.val)
		}
	}
	return 0
}

func cmdDmesg(c *interp.Call) int {
	if c.Sh.Who.Uid != 0 {
		return c.Fail(1, "read kernel buffer failed: Operation not permitted")
	}
	p := c.Sh.P
	for i, l := range []string{p.ProcVersion(), "Command line: BOOT_IMAGE=/boot/vmlinuz-" + p.Kernel.Release + " root=UUID=" + p.Hardware.RootUUID + " ro quiet", "BIOS-provided physical RAM map:", "NX (Execute Disable) protection: active", "DMI: " + p.Hardware.Vendor + " " + p.Hardware.Product, "Hypervisor detected: KVM", "smpboot: CPU0: " + p.Hardware.CPUModel, "EXT4-fs (" + p.RootPartition() + "): mounted filesystem with ordered data mode", "systemd[1]: Hostname set to <" + p.Hostname + ">.", "IPv6: ADDRCONF(NETDEV_CHANGE): " + p.Interfaces[0].Name + ": link becomes ready"} {
		c.Printf("[%12.6f] %s\n", float64(i*i)*0.131072, l)
	}
	return 0
}

func cmdLspci(c *interp.Call) int {
	c.Print("00:00.0 Host bridge: Intel Corporation 82G33/G31/P35/P31 Express DRAM Controller\n00:01.0 VGA compatible controller: Red Hat, Inc. Virtio 1.0 GPU (rev 01)\n00:02.0 Ethernet controller: Red Hat, Inc. Virtio network device\n00:03.0 SCSI storage controller: Red Hat, Inc. Virtio block device\n")
	if g := c.Sh.P.Hardware.GPU; g != "" {
		c.Printf("00:1e.0 3D controller: NVIDIA Corporation [%s] (rev a1)\n", g)
	}
	return 0
}

func cmdLsblk(c *interp.Call) int {
	h := c.Sh.P.Hardware
	part := c.Sh.P.RootPartition()
	switch c.Name {
	case "fdisk":
		c.Printf("Disk /dev/%s: %d GiB, %d bytes, %d sectors\nUnits: sectors of 1 * 512 = 512 bytes\nSector size (logical/physical): 512 bytes / 512 bytes\nDisklabel type: gpt\n\nDevice      Start       End   Sectors  Size Type\n/dev/%s   2048 %d %d  %dG Linux filesystem\n", h.DiskDevice, h.DiskGB, int64(h.DiskGB)<<30, int64(h.DiskGB)<<21, part, int64(h.DiskGB)<<21-34, int64(h.DiskGB)<<21-2082, h.DiskGB)
	case "blkid":
		c.Printf("/dev/%s: UUID=\"%s\" BLOCK_SIZE=\"4096\" TYPE=\"ext4\"\n", part, h.RootUUID)
	default:
		c.Printf("NAME%s MAJ:MIN RM  SIZE RO TYPE MOUNTPOINTS\n%-8s 252:0    0  %3dG  0 disk \n└─%-6s 252:1    0  %3dG  0 part /\n", strings.Repeat(" ", 4), h.DiskDevice, h.DiskGB, part, h.DiskGB)
	}
	return 0
}

func cmdNvidia(c *interp.Call) int {
	h := c.Sh.P.Hardware
	if len(c.Args) > 0 && strings.HasPrefix(c.Args[0], "-L") {
		c.Printf("GPU 0: %s (UUID: GPU-%x)\n", h.GPU, c.Sh.P.Derive("gpu", 16))
		return 0
	}
	if q := strings.Join(c.Args, " "); strings.Contains(q, "--query-gpu") {
		if !strings.Contains(q, "noheader") {
			c.Print("name, memory.total [MiB], driver_version\n")
		}
		c.Printf("%s, %d MiB, %s\n", h.GPU, h.GPUMemMB, h.GPUDriver)
		return 0
	}
	line := "+-----------------------------------------------------------------------------------------+\n"
	c.Printf("%s\n%s| NVIDIA-SMI %-15s        Driver Version: %-15s CUDA Version: 12.4     |\n|-----------------------------------------+------------------------+----------------------+\n| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |\n| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |\n|=========================================+========================+======================|\n|   0  %-26s     On  |   00000000:00:1E.0 Off |                    0 |\n| N/A   34C    P8             14W /   70W |   %6dMiB / %6dMiB |      0%%      Default |\n+-----------------------------------------+------------------------+----------------------+\n\n%s| Processes:                                                                              |\n|  No running processes found                                                             |\n%s",
		c.Sh.Now().UTC().Format("Mon Jan _2 15:04:05 2006"), line, h.GPUDriver, h.GPUDriver, interp.Clip(h.GPU, 26), 2, h.GPUMemMB, line, line)
	return 0
}

func cmdLsmod(c *interp.Call) int {
	c.Print("Module                  Size  Used by\nxt_conntrack           16384  1\nnf_nat                 57344  2\nnf_conntrack          172032  2 xt_conntrack,nf_nat\noverlay               163840  2\nvirtio_net             61440  0\n")
	if c.Sh.P.Hardware.GPU != "" {
		c.Print("nvidia              56770560  2 nvidia_modeset\n")
	}
	return 0
}

func cmdEnv(c *interp.Call) int {
	args := c.Args
	e := c.E.Sub()
	for len(args) > 0 && c.Name == "env" {
		k, v, ok := strings.Cut(args[0], "=")
		switch {
		case ok && syntax.IsName(k):
			e.SetExport(k, v)
		case args[0] == "-i" || args[0] == "-":
			for n, v := range e.Vars {
				if v.Exported {
					delete(e.Vars, n)
				}
			}
		case args[0] == "-u" && len(args) > 1:
			delete(e.Vars, args[1])
			args = args[1:]
		case args[0] == "-S":
		default:
			e.Invoke(args, 5)
			return e.Status
		}
		args = args[1:]
	}
	if c.Name == "printenv" && len(args) > 0 {
		v, ok := e.Lookup(args[0])
		if ok {
			c.Printf("%s\n", v)
		}
		return int(syntax.B2i(!ok))
	}
	for _, l := range e.Environ() {
		c.Printf("%s\n", l)
	}
	return 0
}

func cmdTTY(c *interp.Call) int {
	if !c.Tty() {
		c.Print("not a tty\n")
		return 1
	}
	c.Printf("/dev/%s\n", c.Sh.Tty)
	return 0
}

func cmdClear(c *interp.Call) int {
	if c.OutTTY() {
		c.Print("\x1b[H\x1b[2J\x1b[3J")
	} else {
		fmt.Fprint(c.Err, "TERM environment variable not set.\n")
	}
	return 0
}

func cmdVmstat(c *interp.Call) int {
	m := memory(c.Sh.P, c.Sh.Now())
	c.Printf("procs -----------memory---------- ---swap-- -----io---- -system-- ------cpu-----\n r  b   swpd   free   buff  cache   si   so    bi    bo   in   cs us sy id wa st\n 1  0      0 %6d %6d %6d    0    0     6    21   84  131  1  1 98  0  0\n", m[2], m[4]/12, m[4])
	return 0
}

func cmdLsof(c *interp.Call) int {
	c.Print("COMMAND     PID  USER   FD   TYPE DEVICE SIZE/OFF NODE NAME\n")
	for i, k := range c.Sh.P.Sockets {
		c.Printf("%-9s %5d %5s %4du  IPv4 %6d      0t0  TCP %s (LISTEN)\n", interp.Clip(k.Program, 9), k.PID, interp.Clip(k.User, 5), 3+i, 18000+i*13, strings.Replace(k.Addr, "0.0.0.0", "*", 1))
	}
	return 0
}

func cmdSysctl(c *interp.Call) int {
	for _, a := range c.Flags("wpane").Rest {
		if k, v, ok := strings.Cut(a, "="); ok {
			c.Printf("%s = %s\n", strings.TrimSpace(k), strings.TrimSpace(v))
			continue
		}
		b, err := c.Sh.Fs.Slurp("/proc/sys/" + strings.ReplaceAll(a, ".", "/"))
		if err != nil {
			return c.Fail(255, "cannot stat /proc/sys/%s: No such file or directory", strings.ReplaceAll(a, ".", "/"))
		}
		c.Printf("%s = %s", a, b)
	}
	return 0
}

// cmdNice stands for all wrappers that run another command.
func cmdNice(c *interp.Call) int {
	args := c.Args
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		if (args[0] == "-n" || args[0] == "-c" || args[0] == "-p") && len(args) > 1 {
			args = args[1:]
		}
		args = args[1:]
	}
	if len(args) == 0 {
		if c.Name == "nice" {
			c.Print("0\n")
			return 0
		}
		return c.Fail(125, "missing operand\nTry '%s --help' for more information.", c.Name)
	}
	if c.Name == "nohup" && c.Tty() {
		fmt.Fprintln(c.Err, "nohup: ignoring input and appending output to 'nohup.out'")
	}
	e := c.E.Sub()
	e.Invoke(args, 5)
	return e.Status
}

func cmdLocale(c *interp.Call) int {
	c.Print("LANG=en_US.UTF-8\nLANGUAGE=\nLC_CTYPE=\"en_US.UTF-8\"\nLC_ALL=\n")
	return 0
}

func cmdGetconf(c *interp.Call) int {
	if len(c.Args) == 0 {
		return c.Fail(2, "Usage: getconf [-v specification] variable_name [pathname]")
	}
	v, ok := map[string]string{"LONG_BIT": "64", "PAGESIZE": "4096", "PAGE_SIZE": "4096", "_NPROCESSORS_ONLN": interp.Itoa(c.Sh.P.Hardware.Cores), "ARG_MAX": "2097152", "GNU_LIBC_VERSION": "glibc " + c.Sh.P.Versions.Glibc}[c.Args[0]]
	if !ok {
		return c.Fail(2, "Unrecognized variable `%s'", c.Args[0])
	}
	c.Printf("%s\n", v)
	return 0
}

func cmdDmidecode(c *interp.Call) int {
	h := c.Sh.P.Hardware
	c.Printf("# dmidecode 3.4\nGetting SMBIOS data from sysfs.\nSMBIOS 2.8 present.\n\nHandle 0x0100, DMI type 1, 27 bytes\nSystem Information\n\tManufacturer: %s\n\tProduct Name: %s\n", h.Vendor, h.Product)
	return 0
}
