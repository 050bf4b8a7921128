package consistency

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestDiff runs scripts/diff.sh: main.go in full and a line for each other file; a named file in
// full; one line a file with -stat; and what can't be shown ends with 2.
func TestDiff(t *testing.T) {
	tests := []struct {
		args         string
		status       int
		want, wantNo string // regular expressions
	}{
		{"02 03", 0, `(?ms)\Amain\.go$.*^\+.*PivotRoot.*^rootfs\.go +\+\d+ +-0 +new: \w`,
			`(?m)^\+func bindReadOnly`},
		{"02-pid-namespace 03 rootfs.go", 0,
			`(?ms)\Arootfs\.go$.*^\+func bindReadOnly`, `PivotRoot`},
		{"-stat 02 03", 0, `(?ms)\Amain\.go +\+\d+ +-\d+ *$.*^rootfs\.go`, `(?m)^[+-]`},
		{"02 03", 0, `main\.go`, `(?m)^(demo|narrate|other|main_test)\.go`},
		{"02 09", 2, `no step 09; there are: 01-chroot 02`, ""},
		{"02 03 nowhere.go", 2, "neither step has a file nowhere.go", ""},
		{"02", 2, "usage:", ""},
	}
	for _, test := range tests {
		cmd := exec.Command("../../diff.sh", strings.Fields(test.args)...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != test.status {
			t.Errorf("%s: status %d, want %d\n%s", test.args, got, test.status, out)
		}
		if !regexp.MustCompile(test.want).Match(out) {
			t.Errorf("%s: no %s in\n%s", test.args, test.want, out)
		}
		if test.wantNo != "" && regexp.MustCompile(test.wantNo).Match(out) {
			t.Errorf("%s: %s in\n%s", test.args, test.wantNo, out)
		}
	}
}
