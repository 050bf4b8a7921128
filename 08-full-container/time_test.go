//go:build linux

// The container's clocks.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"jail-to-container/scripts/steptest"
)

// TestUptime reads how long the container has been up: not longer than it takes from before its
// start until after its end, where the host has been up before.
func TestUptime(t *testing.T) {
	if !exists("/proc/self/ns/time") {
		steptest.Skip(t, "%s", noClocks())
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		if u.UID == 0 && noClocks() != "" {
			steptest.Skip(t, "%s", noClocks())
		}
		uptime := func(text string) (seconds float64) {
			if _, err := fmt.Sscan(text, &seconds); err != nil {
				t.Fatalf("uptime %q: %v", text, err)
			}
			return seconds
		}
		outside := func() float64 {
			text, err := os.ReadFile("/proc/uptime")
			if err != nil {
				t.Fatal(err)
			}
			return uptime(string(text))
		}
		before := outside()
		inside := uptime(u.Output(t, "cat", "/proc/uptime"))
		after := outside()
		if after-before >= before { // the control would say nothing
			steptest.Skip(t,
				"this machine has only just been started, %.2f s ago: run it again", after)
		}
		if inside > after-before+1 { // the clocks are set to a whole second
			t.Errorf("up %.2f s inside, while %.2f s went by outside", inside, after-before)
		}
		// The other clock can't be read by a program that is everywhere; how it was set can.
		offsets := u.Output(t, "cat", "/proc/self/timens_offsets")
		for _, clock := range []string{"monotonic", "boottime"} {
			if _, rest, _ := strings.Cut(offsets, clock); !strings.HasPrefix(
				strings.TrimSpace(rest), "-") {
				t.Errorf("%s hasn't been set back:\n%s", clock, offsets)
			}
		}
	})
}

// TestUptimeInATimeNamespace starts the step in a time namespace whose clocks are a day ahead, as
// another container might: the container's clocks begin at zero all the same.
func TestUptimeInATimeNamespace(t *testing.T) {
	if os.Getuid() != 0 {
		steptest.Skip(t, "only root can set clocks; run it as root")
	}
	if why := noClocks(); why != "" {
		steptest.Skip(t, "%s", why)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		r := steptest.Run(t, self("test:tomorrow", u.Name))
		var outside, inside, idle float64
		if _, err := fmt.Sscan(r.Stdout, &outside, &idle, &inside); err != nil || r.Stderr != "" {
			t.Fatalf("%v: %+v", err, r)
		}
		if outside < 86400 || inside > 20 {
			t.Errorf("up %.2f s outside, want a day and more; %.2f s inside, want next to nothing",
				outside, inside)
		}
	})
}

// init adds the time namespace. Only children of the process that makes it enter it.
func init() {
	experiments["test:tomorrow"] = func(args []string) error {
		if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
			return err
		}
		const day = "monotonic 86400 0\nboottime 86400 0\n"
		if err := writeFile("/proc/self/timens_offsets", day); err != nil {
			return err
		}
		u := steptest.Root
		if args[0] == "user" {
			u = steptest.Ordinary
		}
		for _, cmd := range []*exec.Cmd{
			exec.Command("cat", "/proc/uptime"), u.Program("-net=false", "cat", "/proc/uptime"),
		} {
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			if err := cmd.Run(); err != nil {
				return err
			}
		}
		return nil
	}
}
