//go:build linux

// The container's clocks.

package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

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
