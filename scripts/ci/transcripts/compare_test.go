package transcripts

import (
	"strings"
	"testing"
)

// TestSameLine holds the rules of sameText for single lines.
func TestSameLine(t *testing.T) {
	tests := []struct {
		want, got string
		same      bool
	}{
		{"", "", true},
		{"one  two", " one two ", true},
		{"one two", "onetwo", false},
		{"one", "one two", false},

		// Numbers.
		{"I am PID 1", "I am PID 1", true},
		{"I am PID 1", "I am PID 7", false},
		{"131 processes", "98 processes", true},
		{"131 processes", "10231 processes", true},
		{"2 processes", "131 processes", false},
		{"98 processes", "131 processes", false},
		{"the host calls it 48219", "the host calls it 517", true},
		{"the host calls it 48219", "the host calls it 1", false},
		{"the host calls it 48219", "the host calls it x", false},
		{"the host calls it 48219", "the host calls it -517", false},
		{"pid:[4026531836]", "pid:[4026532280]", true},
		{"pid:[4026531836]", "mnt:[4026531836]", false},
		{"/proc/48219/ns", "/proc/731/ns", true},
		{"/tmp/jail-123456/bin", "/tmp/jail-98/bin", true},
		{"48219,48220", "517,518", true},
		{"x86_64", "x86_65", false},
		{"12:34", "12:35", false},

		// Fractions, addresses and versions.
		{"1.234s", "1.5s", true},
		{"1.234s", "12s", true},
		{"1.234s", "1.234ms", false},
		{"took 1.234.", "took 2.345.", true},
		{"1.5s", "1.6s", false},
		{"10.0.0.1", "10.0.0.2", false},
		{"10.0.0.1", "10.0.0.1", true},
		{"10.200.0.1", "10.201.0.1", true},
		{"10.200.0.1", "11.200.0.1", false},
		{"10.200.0.1", "10.200.0.2", false},

		// Exit statuses.
		{"exit status 137", "exit status 137", true},
		{"exit status 137", "exit status 125", false},
		{"status 137", "status 143", false},
		{"Status: 137", "Status: 143", false},
		{"status=137", "status=143", false},
		{"exit code 137.", "exit code 143.", false},
		{"`exit code` 137", "`exit code` 143", false},
		{"error code 137", "error code 143", true},
		{"exit status 137, pid 4821", "exit status 137, pid 517", true},

		// Modes, masks, ids.
		{"0755", "0700", false},
		{"0o755", "0o700", false},
		{"0x1000", "0x2000", false},
		{"0123456789abcdef", "fedcba9876543210", true},
		{"sha256:8a1c09e2f53b7d46", "sha256:1b2c09e2f53b7d46", true},
		{"8a1c09e2f53b7d46", "8a1c09e2f53b7d4", false},
		{"8a1c09e2f53b7d46", "8a1c09e2f53b7d4g", false},
		{"8a1c09e2f53b7d4", "9a1c09e2f53b7d4", false},
		{"CapEff: 00000000a80425fb", "CapEff: 000001ffffffffff", false},

		// Terminals.
		{"1234 pts/0 sh", "1235 ? sh", true},
		{"1234 ? sh", "1235 pts/12 sh", true},
		{"1234 pts/0 sh", "1235 pts/3 sh", true},
		{"1234 pts/0 sh", "1235 tty1 sh", false},

		// What is special in a pattern isn't in a chapter.
		{"a.c 123", "abc 123", false},
		{"(123)", "(456)", true},
	}
	for _, test := range tests {
		if got := sameLine(test.want, test.got, false); got != test.same {
			t.Errorf("sameLine(%q, %q) = %v", test.want, test.got, got)
		}
	}
	if sameLine("137", "125", true) {
		t.Error("an exact line matches another number")
	}
}

// TestSameText holds the rules for several lines.
func TestSameText(t *testing.T) {
	tests := []struct {
		want, got string // lines, separated by |
		exact     int
		same      bool
	}{
		{"pid 1234|PID 1", "pid 567|PID 1", -1, true},
		{"pid 1234|PID 1", "pid 567", -1, false},
		{"a|b", "b|a", -1, false},
		{"pid 1234|137", "pid 567|137", 1, true},
		{"pid 1234|137", "pid 567|143", 1, false},
	}
	for _, test := range tests {
		got := sameText(strings.Split(test.want, "|"), strings.Split(test.got, "|"), test.exact)
		if got != test.same {
			t.Errorf("sameText(%q, %q, %d) = %v", test.want, test.got, test.exact, got)
		}
	}
}
