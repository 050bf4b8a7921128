//go:build !linux

// Elsewhere there are no namespaces, and no steps to test either.

package main

import (
	"errors"
	"os/exec"
)

// initName is no program's name here.
const initName = ""

// beInit is never called here.
func beInit([]string) int { return 1 }

// contain refuses: the steps are for Linux, and so are their tests.
func contain(*exec.Cmd) error { return errors.New("the steps, and so their tests, need Linux") }

// containLesson refuses, too.
func containLesson(cmd *exec.Cmd) error { return contain(cmd) }
