//go:build linux

// Hosts on which the ordinary user has subordinate IDs, ones that tell users and groups apart. The
// same file in every step from 05 on.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// subuids and subgids give the ordinary user other groups than users, and fewer.
const subuids, subgids = "12345:200000:65536\n", "12345:300000:49999\n"

// giveIDs makes these texts /etc/subuid and /etc/subgid in this process's mount namespace, which
// must be its own. newuidmap(1) also wants to find the caller and its group in /etc/passwd.
func giveIDs(uids, gids string) error {
	accounts, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ids-")
	if err != nil {
		return err
	}
	err = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	for path, text := range map[string]string{
		"/etc/subuid": uids, "/etc/subgid": gids,
		"/etc/passwd": string(accounts) + fmt.Sprintf("ordinary:x:%d:%d::/:/bin/sh\n",
			ordinary, ordinaryGroup),
	} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%w (it comes in the package passwd or uidmap)", err)
		}
		file := filepath.Join(dir, filepath.Base(path))
		err = errors.Join(err, os.WriteFile(file, []byte(text), 0o644),
			unix.Mount(file, path, "", unix.MS_BIND, ""), os.Remove(file)) // the mount holds it
	}
	return errors.Join(err, os.Remove(dir))
}
