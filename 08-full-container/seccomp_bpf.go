//go:build linux

// An assembler for classic BPF, the small machine that a seccomp filter is a program for: one
// register, a piece of memory to read from, comparisons, and jumps that only go forward (bpf(4) of
// the BSDs, seccomp(2)). It counts the jumps, which are easy to get wrong by hand.

package main

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// line is one instruction. Where it names another line, the name stands for the distance.
type line struct {
	label   string // its name, if anything jumps here
	code    uint16
	k       uint32
	yes, no string // where a comparison goes on; "" is the next line
}

// load reads 32 bits at offset of the struct seccomp_data that describes the call.
func load(offset uint32) line {
	return line{code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, k: offset}
}

// compare goes on at yes or no, by a comparison (BPF_JEQ, BPF_JGE or BPF_JSET, "any of these bits")
// of what was loaded with k.
func compare(how uint16, k uint32, yes, no string) line {
	return line{code: unix.BPF_JMP | how | unix.BPF_K, k: k, yes: yes, no: no}
}

// answer ends the program with a value for the kernel.
func answer(label string, value uint32) line {
	return line{label: label, code: unix.BPF_RET | unix.BPF_K, k: value}
}

// named gives the first of some lines a name.
func named(label string, lines ...line) []line {
	lines[0].label = label
	return lines
}

// farthest is how far a comparison can jump: its distances have 8 bits, and one is kept back for
// the instruction that may come between.
const farthest = 1<<8 - 2

// assemble turns names into distances. All jumps go forward, so it begins at the end, where every
// distance is known by the time it is asked for. To what is too far away for a comparison, a jump
// of its own leads, which has 32 bits.
func assemble(lines []line) ([]unix.SockFilter, error) {
	var program []unix.SockFilter // from the last to the first
	places := map[string]int{}    // of names: how much of the program comes after, and itself
	for _, l := range slices.Backward(lines) {
		next := len(program)
		filter := unix.SockFilter{Code: l.code, K: l.k}
		if l.code&7 == unix.BPF_JMP { // the lower three bits are its class
			var to [2]int
			for i, label := range []string{l.yes, l.no} {
				place, known := places[label]
				switch {
				case label == "":
					place = next
				case !known:
					return nil, fmt.Errorf("assemble: no line %q after %q", label, l.label)
				}
				if len(program)-place > farthest {
					program = append(program, unix.SockFilter{
						Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(program) - place),
					})
					place = len(program)
				}
				to[i] = place
			}
			filter.Jt, filter.Jf = uint8(len(program)-to[0]), uint8(len(program)-to[1])
		}
		program = append(program, filter)
		if _, twice := places[l.label]; twice {
			return nil, fmt.Errorf("assemble: two lines are named %q", l.label)
		}
		if l.label != "" {
			places[l.label] = len(program)
		}
	}
	slices.Reverse(program)
	return program, nil
}
