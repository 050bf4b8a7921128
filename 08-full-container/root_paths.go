//go:build linux

// The container's root: an image, a directory, or the root that earlier steps used (rootfs.go). On
// top is a writable layer, which disappears with the container.

package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// buildRoot builds the root at rootfs.
func (s *spec) buildRoot() error {
	// The caller's umask must not change the modes below. The command gets the usual one.
	unix.Umask(0)
	defer unix.Umask(0o022)
	own := contents{
		dirs: map[string]os.FileMode{"proc": 0o555, "sys": 0o555, "dev": 0o755, "etc": 0o755},
		files: map[string]string{
			"etc/resolv.conf": s.ResolvConf,
			"etc/hostname":    s.Hostname + "\n",
			"etc/hosts":       files["/etc/hosts"], // see addToHosts
		},
	}
	var err error
	if len(s.Layers) == 0 {
		err = s.embeddedRoot(own)
	} else {
		err = s.layeredRoot(own)
	}
	if err != nil {
		return err
	}
	// /proc and /sys are mounted while the host's are still there: in a user namespace the kernel
	// allows a new one only if an old one is visible, with nothing mounted over parts of it
	// (mount_namespaces(7)).
	inert := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := mount("proc", rootfs+"/proc", "proc", inert, ""); err != nil {
		return fmt.Errorf("%w (is part of this /proc covered, as in a container? "+
			"Docker's --security-opt systempaths=unconfined uncovers it)", err)
	}
	// A sysfs shows a network namespace, and only that one's owner may mount it.
	if err := s.wall("net", func() error { return mountSys(rootfs + "/sys") }); err != nil {
		return err
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NOEXEC)
	if err := mount("tmpfs", rootfs+"/dev", "tmpfs", flags, "mode=755,size=64k"); err != nil {
		return err
	}
	return buildDev(rootfs + "/dev")
}

// layeredRoot stacks up an image's layers, or the directory of -root.
func (s *spec) layeredRoot(own contents) error {
	if s.Layers[0] != rootfs {
		if err := checkCache(trees[0]); err != nil {
			return err
		}
	}
	// Below the overlay, and gone with the host's root.
	place, err := os.OpenFile(rootfs, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(attach(trees[0], s.Volumes[0], place), place.Close()); err != nil {
		return err
	}
	if s.Layers[0] == rootfs {
		err = wholeTree(rootfs)
	}
	if err == nil {
		err = mountOverlay(rootfs, s.Layers, own, s.Memory)
	}
	if err == nil {
		return openHosts()
	}
	if !errors.Is(err, errNoOverlay) || len(s.Layers) > 1 {
		return err
	}
	// A single directory can be the root without an overlay, but read-only.
	fmt.Fprintf(os.Stderr, "%s: %s: the root is read-only\n", step, legible(err.Error()))
	if err := bindReadOnly(s.Layers[0], rootfs); err != nil {
		return err
	}
	// Then we can't make mount points in it either. A symbolic link there would lead the mount
	// elsewhere.
	for _, name := range []string{"/proc", "/sys", "/dev"} {
		info, err := os.Lstat(rootfs + name)
		if err == nil && !info.IsDir() {
			err = &os.PathError{Op: "mount on", Path: name, Err: unix.ENOTDIR}
		}
		if err != nil {
			return fmt.Errorf("a read-only root must have a directory %s itself: %w", name, err)
		}
	}
	return nil
}

// embeddedRoot is that of the steps before: the host's programs, read-only, in a tmpfs.
func (s *spec) embeddedRoot(own contents) error {
	inert := uintptr(unix.MS_NOSUID | unix.MS_NODEV)
	if err := mount("tmpfs", rootfs, "tmpfs", inert, tmpfsFor(s.Memory)); err != nil {
		return err
	}
	own.dirs["root"], own.dirs["tmp"] = 0o700, 0o777|os.ModeSticky
	for path, text := range files {
		if own.files[path[1:]] == "" {
			own.files[path[1:]] = text
		}
	}
	if err := own.put(rootfs); err != nil {
		return err
	}
	for _, path := range programs {
		if err := bindFromHost(path); err != nil {
			return err
		}
	}
	return errors.Join(showCertificates(), openHosts())
}

// showCertificates shows the host's certificates, which HTTPS needs, where the host has them as
// Debian does. On some hosts it is a symbolic link: mount(2) follows it.
func showCertificates() error {
	const file = "/etc/ssl/certs/ca-certificates.crt"
	if !exists(file) {
		return nil
	}
	return errors.Join(os.MkdirAll(rootfs+"/etc/ssl/certs", 0o755),
		os.WriteFile(rootfs+file, nil, 0o644), bindReadOnly(file, rootfs+file))
}

// hosts is /etc/hosts, if it is ours, opened before a volume may cover it.
var hosts *os.File

// openHosts opens it, while the new root is at rootfs.
func openHosts() (err error) {
	hosts, err = os.OpenFile(rootfs+"/etc/hosts", os.O_WRONLY|os.O_APPEND, 0)
	return err
}

// addToHosts writes the container's name into /etc/hosts, at eth0's address, as docker does. So it
// comes after the cable; without one the name is at an address of the loopback.
func addToHosts(name string) error {
	if hosts == nil {
		return nil
	}
	address, err := linkAddress("eth0")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(hosts, "%s\t%s\n", cmp.Or(address, "127.0.1.1"), name)
	return errors.Join(err, hosts.Close())
}

// linkAddress returns the address of a link in this network namespace, or "" if it has none.
func linkAddress(link string) (string, error) {
	links, err := net.Interfaces()
	for _, l := range links {
		if l.Name != link {
			continue
		}
		addresses, err := l.Addrs()
		if err != nil || len(addresses) == 0 {
			return "", err
		}
		address, _, _ := strings.Cut(addresses[0].String(), "/")
		return address, nil
	}
	return "", err
}

// closeRoot makes the root read-only if the user asked for that. It comes last: mount points and
// the command's directory have to be made in the root first. The mounts on top of it stay as they
// are, because some are meant to be written to, such as /dev/shm.
func (s *spec) closeRoot() error {
	if !s.ReadOnly {
		return nil
	}
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY)
	return mount("none", "/", "", flags|unix.MS_NOSUID|unix.MS_NODEV, "")
}

// openInRoot opens the place (O_PATH of open(2)) that a path leads to. Use it for every path that
// comes from an image or a flag, once "/" is the container's. It looks up one name at a time and
// reads symbolic links itself, so that a link is just more names: /proc/self/fd/9 never leads to
// the file that is open here (CVE-2024-21626 in runc), and no other container that shares a
// directory can put a link in the way between check and use (CVE-2021-30465). openat2(2) does the
// same, with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS, but not before Linux 5.6, and it makes no
// directories.
//
// It makes what is missing of the path: directories, and at the end one more if kind is S_IFDIR,
// otherwise a file. If kind is 0, a missing name is an error. Behind a link it is always one, so
// that the author of the link can't choose what is made, perhaps in another volume.
func openInRoot(path string, kind uint32) (place *os.File, err error) {
	at := unix.AT_FDCWD // no directory yet: the first name is "/"
	defer func() {
		if err != nil {
			unix.Close(at)
			err = &os.PathError{Op: "open", Path: path, Err: err}
		}
	}()
	names := split("/" + path)
	own, link, links := len(names), "", 0 // so many of the names are the path's own
	for len(names) > 0 {
		name, linked := names[0], len(names) > own
		names = names[1:]
		own = min(own, len(names))
		missing := kind
		if linked {
			missing = 0
		} else if kind != 0 && len(names) > 0 {
			missing = unix.S_IFDIR
		}
		next, err := openOrMake(at, name, missing)
		if linked && errors.Is(err, unix.ENOENT) {
			err = fmt.Errorf("the symbolic link %s leads nowhere: %w", link, err)
		}
		if err != nil {
			return nil, err
		}
		text, err := readLink(next)
		if err != nil || text != "" {
			unix.Close(next)
			if links++; links > 40 { // as many as the kernel follows (path_resolution(7))
				err = unix.ELOOP
			}
			if err != nil {
				return nil, err
			}
			names = append(split(text), names...)
			if !linked { // the one that the path names, whatever links lie behind it
				link = name + " -> " + text
			}
			continue
		}
		unix.Close(at)
		at = next
	}
	return os.NewFile(uintptr(at), path), nil
}

// split splits a path into names. The first is "/" if the path is absolute.
func split(path string) (names []string) {
	if strings.HasPrefix(path, "/") {
		names = append(names, "/")
	}
	return append(names, strings.FieldsFunc(path, func(r rune) bool { return r == '/' })...)
}

// openOrMake opens one name in a directory. If it is missing, it makes what kind says.
func openOrMake(at int, name string, kind uint32) (fd int, err error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err = unix.Openat(at, name, flags, 0)
	if kind == 0 || !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if err := makeAt(at, name, kind); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, fmt.Errorf("make %s: %w", name, err)
	}
	return unix.Openat(at, name, flags, 0)
}

// makeAt makes a new directory if kind is S_IFDIR, else a new file. O_EXCL follows no link and
// fails if something is there already.
func makeAt(at int, name string, kind uint32) error {
	if kind == unix.S_IFDIR {
		return unix.Mkdirat(at, name, 0o755)
	}
	fd, err := unix.Openat(at, name, unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// readLink returns the text of a symbolic link, and "" for everything else.
func readLink(fd int) (string, error) {
	if kind, err := kindOf(fd); err != nil || kind != unix.S_IFLNK {
		return "", err
	}
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", text) // "" is the link itself (readlink(2))
	if err == nil && n == 0 {
		err = unix.ENOENT
	}
	return string(text[:max(n, 0)]), err
}
