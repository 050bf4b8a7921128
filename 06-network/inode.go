//go:build linux

// What names a namespace. The same file in every step from 02 on.

package main

import (
	"os"
	"strings"
)

// namespaceOf returns the inode number that names a process's namespace of a kind, such as "pid"
// (namespaces(7)). Two processes are in the same one if they have the same number.
func namespaceOf(process, kind string) string {
	link, err := os.Readlink("/proc/" + process + "/ns/" + kind)
	if err != nil {
		return err.Error()
	}
	return strings.Trim(link, kind+":[]")
}
