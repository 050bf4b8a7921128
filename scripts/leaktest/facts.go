//go:build linux

// What the host's part tells the container's part.

package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// facts are where on the host there is something to be found, and by what to know it: never the
// secret, but its SHA-256.
type facts struct {
	Secret     string // the path of a file, readable by all; its directory can be searched by all
	SecretSum  string
	HandleType int32 // of that file: name_to_handle_at(2)
	Handle     []byte
	OpenSum    string // what another file holds, that is open in the process that starts us

	Usr    identity // the host's /usr
	Root   string   // the device and the part of it that are mounted at the host's /
	Device node     // a device of the host that can be opened there

	Victim    int    // PID of a process of the host's
	VictimSum string // of one of its arguments
	EnvSum    string // of the value of one of its environment variables
	StartSum  string // of one in the environment of the process that starts us
	HostExes  []identity

	HostUID     int    // of the process that starts us
	OpenFiles   uint64 // its limits on them, soft and hard
	HostnameSum string
	UTS         string // the host's UTS namespace, as /proc/self/ns/uts says
	QueueKey    int
	QueueSum    string
	MemoryKey   int
	MemorySum   string
	Mqueue      string
	MqueueSum   string
	Shm         string // in /dev/shm
	ShmSum      string

	Links       []string // SHA-256 of the hardware addresses of the host's interfaces
	NetCookie   uint64   // SO_NETNS_COOKIE: a number that no two network namespaces share
	Port        int      // on the host's 127.0.0.1
	PortSum     string
	Abstract    string // the name of an abstract UNIX socket
	AbstractSum string

	Key    string // in the session keyring of the process that starts us
	KeySum string

	Absent   []string // files of machineWide that the host hasn't got
	Firmware int      // entries in /sys/firmware
	Kernel   string
	Memory   uint64 // bytes
	Uptime   int64  // seconds of CLOCK_BOOTTIME when these facts were made

	Missing map[string]string // which of these there aren't, and why
}

// node is a device, by its name in /dev, its type and number (mknod(2)).
type node struct {
	Name         string
	Type         uint32
	Major, Minor uint32
}

// identity is that of a file, whatever the path to it.
type identity struct{ Dev, Ino uint64 }

// encode makes one argument of the facts.
func (f *facts) encode() (string, error) {
	text, err := json.Marshal(f)
	return base64.RawURLEncoding.EncodeToString(text), err
}

// parseFacts undoes encode.
func parseFacts(text string) (*facts, error) {
	var f facts
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(decoded, &f)
	}
	if err != nil {
		return nil, fmt.Errorf("facts about the host: %w", err)
	}
	return &f, nil
}

// sum is how secrets are compared.
func sum(secret string) string {
	digest := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(digest[:])
}

// random returns 128 random bits in hexadecimal: they can't be guessed.
func random() string {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // it never fails (crypto/rand)
	return hex.EncodeToString(bits[:])
}

// holdsSecret reports whether the file at path is the one whose sum is wanted.
func holdsSecret(path, want string) bool {
	text, err := os.ReadFile(path)
	return err == nil && sum(string(text)) == want
}

// sameFile reports whether the file at path is one of those.
func sameFile(path string, those ...identity) bool {
	is, err := identify(path)
	return err == nil && slices.Contains(those, is)
}
