//go:build linux

// The exercises of step 03, mount namespaces.

package main

// Calls of step 03 that exercises take out.
const (
	closeCall   = `if err := closeDescriptors()`
	unmountCall = `if err := unix.Unmount(".", unix.MNT_DETACH)`
	privateCall = `if err := mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")`
)

var exercises03 = []exercise{
	{
		id: "03-1", step: "03-mount-namespace", title: "A door left open", minutes: 5,
		task: "Whatever the caller has open comes along into the container. One call is missing " +
			"in container, in main.go; the function is still there.",
		start:   []edit{{file: "main.go", stmt: closeCall}},
		attacks: []string{"descriptors"},
		hints: []string{
			"cat <&5 in the container reads a file of the host. No path was looked up for that.",
			"descriptors.go has what it takes, and its comment says when: before anything is " +
				"built.",
			"if err := closeDescriptors(); err != nil { return err }, in container.",
		},
		near: []near{{"defercloseDescriptors()", "", "A deferred call runs when container " +
			"returns. If all goes well it never returns: execve(2) replaces the program."}},
		why: "No namespace takes a descriptor away. An open directory of the host leads to all " +
			"of it, which was CVE-2024-21626 in runc; so a container closes what it wasn't " +
			"given, and does it first.",
	},
	{
		id: "03-2", step: "03-mount-namespace", title: "One root on top of the other", minutes: 10,
		task: "The container has its own root, and the host's is still there as well. Repair " +
			"pivotRoot, in main.go.",
		start:   []edit{{file: "main.go", stmt: unmountCall}},
		attacks: []string{"oldroot"},
		hints: []string{
			"/.. should be / in the container. It is the host's root, with everything in it.",
			"pivot_root(2) exchanges two mounts. pivotRoot gives it \".\" for both: where is the " +
				"old root now?",
			"On top of the new one, at \".\": unix.Unmount(\".\", unix.MNT_DETACH) takes it away " +
				"(umount2(2)). MNT_DETACH, since this program still runs from there.",
		},
		near: []near{{"unix.Unmount(", "MNT_DETACH", "umount2(2) says EBUSY: something of the " +
			"old root is in use, this program itself. There is a flag that takes it out now, and " +
			"lets the rest go later."}},
		why: "pivot_root puts the old root somewhere; it doesn't take it away. Only when it is " +
			"unmounted does no path lead to the host's files any more.",
	},
	{
		id: "03-3", step: "03-mount-namespace", title: "Mounts that show outside", minutes: 10,
		task: "On most hosts this container doesn't start, and leaves its mounts on the host. On " +
			"this one you can't see it with mount(8), so let check show you. A call is missing " +
			"in container, in main.go.",
		start:   []edit{{file: "main.go", stmt: privateCall}},
		attacks: []string{"shared"},
		hints: []string{
			"CLONE_NEWNS copies the list of mounts. grep shared: /proc/self/mountinfo on a host " +
				"with systemd shows that the copies aren't independent.",
			"It has to be done before anything is mounted, and so before buildRoot. mount in " +
				"rootfs.go is mount(2) with a better error.",
			"mount(\"none\", \"/\", \"\", unix.MS_REC|unix.MS_PRIVATE, \"\") " +
				"(mount_namespaces(7), SHARED SUBTREES). It changes the propagation of the " +
				"mounts that are there, and mounts nothing.",
		},
		near: []near{
			{"unix.MS_PRIVATE", "unix.MS_REC", "MS_PRIVATE changes one mount, the one at /. The " +
				"host has others below it, each with its own propagation."},
			{"unix.MS_SLAVE", "", "MS_SLAVE keeps our mounts from the host. The host's still " +
				"come in: is that what you want in a container?"},
		},
		why: "A mount namespace starts as a copy, and a copied mount is a peer of the original " +
			"wherever that is shared. Private first, for all of them: then what is mounted stays " +
			"inside. Go does it by itself for Unshareflags, and not for Cloneflags.",
	},
	{
		id: "03-4", step: "03-mount-namespace", title: "Writable programs", minutes: 10,
		task: "The container has the host's programs in /usr, and can write to them. Repair " +
			"bindReadOnly, in rootfs.go.",
		start: []edit{{file: "rootfs.go", find: "target, " +
			"unix.AT_RECURSIVE,\n&unix.MountAttr{Attr_set: " +
			"unix.MOUNT_ATTR_RDONLY})", text: "target, 0,\n\t\t&unix.MountAttr{})"}},
		attacks: []string{"readonly"},
		hints: []string{
			"The judge wrote to /usr/share, where the host had a file system of its own mounted.",
			"A bind mount ignores flags when it is made. They are set on it afterwards, by the " +
				"second call in bindReadOnly.",
			"mount_setattr(2): Attr_set: unix.MOUNT_ATTR_RDONLY, and unix.AT_RECURSIVE for the " +
				"mounts below.",
		},
		near: []near{
			{"unix.MOUNT_ATTR_RDONLY", "unix.AT_RECURSIVE", "/usr is read-only now, but that is " +
				"a flag of one mount. What is mounted below /usr has flags of its own."},
			{"unix.AT_RECURSIVE", "unix.MOUNT_ATTR_RDONLY", "You change all mounts below, but " +
				"set nothing."},
		},
		why: "Read-only is a property of a mount, not of the files. So it takes the flag, and " +
			"the flag on each mount of the tree; the kernel does both in one call since Linux " +
			"5.12.",
	},
	{
		id: "03-5", step: "03-mount-namespace", title: "Only chroot", minutes: 15,
		task: "Someone has replaced pivot_root with chroot, and everything seems to work. Step " +
			"01's escape does, too. Repair pivotRoot, in main.go.",
		start: []edit{{file: "main.go", fn: "pivotRoot",
			text: `	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return &os.PathError{Op: "chroot", Path: newRoot, Err: err}
	}
	return os.Chdir("/")`}},
		attacks: []string{"escape", "oldroot"},
		hints: []string{
			"The escape: chroot into a directory without going there, climb with .., chroot again.",
			"What has to change is not where / is for this process, but what is mounted in this " +
				"namespace.",
			"unix.PivotRoot(\".\", \".\") in the new root, then unix.Unmount(\".\", " +
				"unix.MNT_DETACH) (pivot_root(2), NOTES).",
		},
		near: []near{
			{"unix.PivotRoot(", "unix.Unmount(", "The roots have changed places. The old one is " +
				"still mounted."},
			{"CAP_SYS_CHROOT", "", "Without the capability this escape fails, but root inside a " +
				"user namespace has ways to it. What can't be reached needs no lock."},
		},
		why: "chroot(2) changes a process's idea of /; the host's root stays mounted, and a " +
			"process above its own root walks up. After pivot_root and the unmount, there is " +
			"nothing to walk to.",
	},
	{
		id: "03-6", step: "03-mount-namespace", title: "Bring a " +
			"directory", minutes: 30, build: true,
		task: "Give the container a volume, as docker run -v does: if the environment has " +
			"VOLUME=/some/directory, that directory of the host is /work in the container, " +
			"writable, with all that is mounted in it. No device in it may work there. volume.go " +
			"has the function to fill.",
		start: []edit{
			{file: "volume.go", text: volumeStub},
			{file: "rootfs.go", find: "return buildDev(rootfs + \"/dev\")", text: volumeCall},
		},
		solution: []edit{
			{file: "volume.go", text: volumeSolved},
			{file: "rootfs.go", find: "return buildDev(rootfs + \"/dev\")", text: volumeCall},
		},
		attacks: []string{"volume", "device", "shared"},
		hints: []string{
			"The judge writes a file to /work and looks for it on the host; then it goes the " +
				"other way.",
			"addVolume runs while the host's paths are still there and the new root is below " +
				"rootfs. Make rootfs+\"/work\", then bind the directory there.",
			"mount(dir, rootfs+\"/work\", \"\", unix.MS_BIND|unix.MS_REC, \"\"), then flags: " +
				"unix.MountSetattr with unix.AT_RECURSIVE and MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV.",
		},
		near: []near{
			{"os.CopyFS(", "", "A copy is another directory: what is written to one doesn't show " +
				"in the other."},
			{"os.Symlink(", "", "A link is a path, and is looked up inside: there is no such " +
				"directory there."},
			{"unix.MS_BIND", "unix.MS_REC", "A bind mount takes one mount. What is mounted below " +
				"the directory isn't in it, without MS_REC."},
			{"unix.MS_BIND", "NODEV", "The volume is there. A device file in it would be a " +
				"device, and a set-user-ID program would have its owner's rights: which flags " +
				"say no?"},
		},
		why: "A volume is a bind mount made while the host's path can still be seen, and carried " +
			"along by pivot_root. Its flags are set afterwards, on every mount in it: nodev, as " +
			"a program that fills the directory could bring a disk, and nosuid.",
	},
	{
		id: "03-7", step: "03-mount-namespace", title: "The whole container", minutes: 30,
		task: "container and pivotRoot, in main.go, have no bodies any more. Write them. What " +
			"builds the new root is there: buildRoot, in rootfs.go; its directory is rootfs.",
		start: []edit{
			{file: "main.go", fn: "container", text: "\treturn execCommand(command) // on whose " +
				"root?"},
			{file: "main.go", fn: "pivotRoot", text: "\treturn errors.New(\"pivotRoot isn't " +
				"written yet\")"},
		},
		attacks: []string{"guard", "path", "oldroot", "descriptors", "proc", "escape", "shared"},
		hints: []string{
			"In the order of main.go: who am I; is my parent there; are these my own mounts; " +
				"what is open; propagation; the root; the way back.",
			"checkParent, ownMounts, closeDescriptors and buildRoot are written. pivotRoot gets " +
				"the directory in which the new root is.",
			"os.Getpid(), mount(... MS_REC|MS_PRIVATE ...), os.Chdir, unix.PivotRoot(\".\", " +
				"\".\"), unix.Unmount(\".\", unix.MNT_DETACH), os.Chdir(\"/\").",
		},
		near: []near{
			{"buildRoot()", "MS_PRIVATE", "You mount before the mounts are private: the host " +
				"will see it."},
			{"unix.PivotRoot(", "unix.Unmount(", "The roots have changed places. The old one is " +
				"still mounted."},
			{"unix.PivotRoot(", "closeDescriptors()", "The root is right. What about what was " +
				"open before?"},
		},
		why: "Each line answers one of the attacks, and the order matters: first what could lead " +
			"back, then what could leak out, then the root.",
	},
}

// volumeCall is where the volume comes in.
const volumeCall = `if err := buildDev(rootfs + "/dev"); err != nil {
		return err
	}
	if dir := os.Getenv("VOLUME"); dir != "" {
		return addVolume(dir)
	}
	return nil`

// volumeStub is what you get.
const volumeStub = `//go:build linux

// A directory of the host in the container.

package main

// addVolume shows dir, a directory of the host, at /work in the container. The new root is still
// below rootfs, and the host's paths can still be seen.
func addVolume(dir string) error {
	return nil
}
`

// volumeSolved is what you make of it.
const volumeSolved = `//go:build linux

// A directory of the host in the container.

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// addVolume shows dir, a directory of the host, at /work in the container. The new root is still
// below rootfs, and the host's paths can still be seen.
func addVolume(dir string) error {
	target := rootfs + "/work"
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	if err := mount(dir, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	flags := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	return os.NewSyscallError("mount_setattr",
		unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, flags))
}
`
