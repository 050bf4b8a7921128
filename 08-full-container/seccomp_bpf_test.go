//go:build linux && (amd64 || arm64 || riscv64)

// The assembler, and an interpreter for what it makes, which tests a filter without a kernel.

package main

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// call is struct seccomp_data: what a filter gets to see of a system call.
type call struct {
	number    uint32
	arch      uint32
	_         uint64 // from where in the program
	arguments [6]uint64
}

// interpret runs a filter on a call, as the kernel does, and returns its answer and how many
// instructions that took. What it doesn't know, and every jump out of the program, is an error.
func interpret(program []unix.SockFilter, c call) (answer uint32, steps int, err error) {
	data, err := binary.Append(nil, binary.LittleEndian, c)
	if err != nil {
		return 0, 0, err
	}
	var register uint32
	for at := 0; at < len(program); at++ {
		steps++
		f := program[at]
		yes := false
		switch f.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if f.K%4 != 0 || int(f.K)+4 > len(data) {
				return 0, steps, fmt.Errorf("instruction %d loads from %d", at, f.K)
			}
			register = binary.LittleEndian.Uint32(data[f.K:])
			continue
		case unix.BPF_RET | unix.BPF_K:
			return f.K, steps, nil
		case unix.BPF_JMP | unix.BPF_JA:
			at += int(f.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			yes = register == f.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			yes = register >= f.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			yes = register&f.K != 0
		default:
			return 0, steps, fmt.Errorf("instruction %d has code %#x", at, f.Code)
		}
		if yes {
			at += int(f.Jt)
		} else {
			at += int(f.Jf)
		}
	}
	return 0, steps, fmt.Errorf("the program has no end")
}

// TestAssemble jumps over ever more lines, near and far, to both sides.
func TestAssemble(t *testing.T) {
	for _, between := range []int{0, 1, 252, 253, 254, 255, 256, 257, 300, 4000} {
		lines := []line{load(0), compare(unix.BPF_JEQ, 7, "yes", "no")}
		for range between {
			lines = append(lines, answer("", 99))
		}
		lines = append(lines, answer("no", 2), answer("yes", 1))
		for _, swap := range []bool{false, true} {
			if swap {
				lines[1].yes, lines[1].no = "", "yes" // and the other one falls through
			}
			program, err := assemble(lines)
			if err != nil {
				t.Fatal(err)
			}
			for number, want := range map[uint32]uint32{7: 1, 8: 2} {
				if swap {
					want = 99
					if number == 8 {
						want = 1
					} else if between == 0 {
						want = 2
					}
				}
				got, _, err := interpret(program, call{number: number})
				if got != want || err != nil {
					t.Errorf("over %d lines, swapped %t, number %d: %d, %v, want %d",
						between, swap, number, got, err, want)
				}
			}
		}
	}
}

// TestAssembleRefuses names a line that isn't there, one that comes before, and two alike.
func TestAssembleRefuses(t *testing.T) {
	for says, lines := range map[string][]line{
		`no line "nowhere"`: {compare(unix.BPF_JEQ, 1, "nowhere", ""), answer("end", 0)},
		`no line "back"`:    {answer("back", 0), compare(unix.BPF_JEQ, 1, "back", "")},
		`two lines`:         {answer("end", 0), answer("end", 1)},
	} {
		if _, err := assemble(lines); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %s", err, says)
		}
	}
}
