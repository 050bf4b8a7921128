//go:build linux

// Calls made the i386 way, which a kernel for amd64 may understand too.

package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"jail-to-container/scripts/steptest"
)

// TestKernelKillsI386 runs a program of 32 bits, which does nothing but exit with status 7: under
// the filter, and, as the control, without. 1, its number for that, is write(2) on amd64.
func TestKernelKillsI386(t *testing.T) {
	file := filepath.Join(t.TempDir(), "i386")
	if err := os.WriteFile(file, i386Program(), 0o755); err != nil {
		t.Fatal(err)
	}
	us := steptest.Caller()
	switch r := us.Run(t, "test:exec", file); {
	case r.Status == 125 && r.Stderr != "":
		steptest.Skip(t, "this kernel runs no programs of 32 bits: %s; run it on one with "+
			"CONFIG_IA32_EMULATION", r.Stderr)
	case r.Status != 7:
		t.Fatalf("the control ends with status %d, want 7", r.Status)
	}
	if r := us.Run(t, "test:filtered", "test:exec", file); r.Status != 128+31 {
		t.Errorf("under the filter it ends with status %d, want 128 and 31 for SIGSYS", r.Status)
	}
	steptest.AsEveryUser(t, func(t *testing.T, u steptest.User) {
		b := newBench(t, u)
		file := b.write(t, "i386", i386Program())
		if err := os.Chmod(file, 0o755); err != nil {
			t.Fatal(err)
		}
		r := u.Run(t, "-volume", file+":/i386:ro", "/i386")
		want := "08-full-container: killed by the seccomp filter (SIGSYS): system calls of " +
			"32-bit programs and of other architectures aren't allowed\n"
		if r.Status != 128+31 || r.Stderr != want {
			t.Errorf("a container's command: %+v, want %q", r, want)
		}
		running := runContainer(t, u, "cat", "-volume", file+":/i386:ro")
		r = steptest.Run(t, running.command("/i386"))
		if r.Status != 128+31 || r.Stderr != want {
			t.Errorf("by -exec: %+v, want %q", r, want)
		}
		r = u.Run(t, "-volume", file+":/i386:ro", "-without", "seccomp", "/i386")
		if r.Status != 7 || strings.Contains(r.Stderr, "SIGSYS") {
			t.Errorf("the control, without the filter: %+v", r)
		}
	})
}

// i386Program is the ELF file, made by hand (elf(5)): a header, one segment, twelve bytes of code.
func i386Program() []byte {
	code := []byte{
		0xb8, 1, 0, 0, 0, // mov eax, 1: exit
		0xbb, 7, 0, 0, 0, // mov ebx, 7
		0xcd, 0x80, // int 0x80
	}
	const address, headers = 0x10000, 52 + 32
	var file bytes.Buffer
	header := elf.Header32{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F',
			byte(elf.ELFCLASS32), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_386), Version: uint32(elf.EV_CURRENT),
		Entry: address + headers, Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 1,
	}
	size := uint32(headers + len(code))
	segment := elf.Prog32{
		Type: uint32(elf.PT_LOAD), Vaddr: address, Filesz: size, Memsz: size,
		Flags: uint32(elf.PF_R | elf.PF_X), Align: 0x1000,
	}
	err := errors.Join(binary.Write(&file, binary.LittleEndian, header),
		binary.Write(&file, binary.LittleEndian, segment))
	if err != nil {
		panic(err) // these structures have a fixed size
	}
	return append(file.Bytes(), code...)
}

// init adds what becomes another program.
func init() {
	experiments["test:exec"] = func(args []string) error {
		return &os.PathError{Op: "exec", Path: args[0], Err: syscall.Exec(args[0], args, nil)}
	}
}
