//go:build linux

// What net_netlink.go makes of what it receives, be it truncated or hostile.

package main

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// message makes one of the kernel's: a header that says so many bytes, and what follows.
func message(says uint32, kind, flags uint16, body ...byte) []byte {
	m := binary.NativeEndian.AppendUint32(nil, says)
	m = binary.NativeEndian.AppendUint16(m, kind)
	m = binary.NativeEndian.AppendUint16(m, flags)
	m = binary.NativeEndian.AppendUint32(m, 7) // sequence
	m = binary.NativeEndian.AppendUint32(m, 0)
	return append(m, body...)
}

// refusal makes an NLMSG_ERROR with an errno, the header of the request, and attributes.
func refusal(number int32, attributes ...byte) []byte {
	body := binary.NativeEndian.AppendUint32(nil, uint32(-number))
	body = append(body, message(16, unix.RTM_NEWLINK, 0)...)
	body = append(body, attributes...)
	flags := uint16(unix.NLM_F_CAPPED | unix.NLM_F_ACK_TLVS)
	return message(uint32(16+len(body)), unix.NLMSG_ERROR, flags, body...)
}

// TestReplies parses what the kernel sends, and what it wouldn't.
func TestReplies(t *testing.T) {
	done := message(20, unix.NLMSG_DONE, 0, 0, 0, 0, 0)
	for _, c := range []struct {
		about string
		data  []byte
		count int
		fault string
	}{
		{"nothing", nil, 0, ""},
		{"one", done, 1, ""},
		{"two", append(done, done...), 2, ""},
		{"two, the first of an odd length",
			append(message(17, 16, 0, 1, 0, 0, 0), done...), 2, ""},
		{"one of an odd length, without what fills it up", message(17, 16, 0, 1), 1, ""},
		{"a truncated header", done[:9], 0, "9 bytes are no header"},
		{"says that it is shorter than its header", message(15, 16, 0), 0, "says it has 15 bytes"},
		{"says that it is empty", message(0, 16, 0), 0, "says it has 0 bytes"},
		{"says that it is longer", message(21, 16, 0, 1, 2, 3, 4), 0, "has 21 bytes, of 20"},
		{"says that it is as long as can be", message(1<<32-1, 16, 0), 0, "says it has 42949672"},
	} {
		replies, err := parseReplies(c.data)
		if len(replies) != c.count || (err == nil) != (c.fault == "") ||
			err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %d replies, %v; want %d, %q",
				c.about, len(replies), err, c.count, c.fault)
		}
	}
}

// TestRefusals reads errors: by name, with the kernel's reason, and unknown ones.
func TestRefusals(t *testing.T) {
	reason := attribute(unix.NLMSGERR_ATTR_MSG, text("Device is not up"))
	for _, c := range []struct {
		about string
		data  []byte
		want  string
	}{
		{"none", refusal(0), "<nil>"},
		{"an errno", refusal(int32(unix.EEXIST)), "file exists"},
		{"with a reason", refusal(int32(unix.EINVAL), reason...),
			"invalid argument (Device is not up)"},
		{"unknown", refusal(9999), "errno 9999"},
		{"with a truncated reason", refusal(int32(unix.EINVAL), reason[:7]...), "invalid argument"},
		{"without a number", message(18, unix.NLMSG_ERROR, 0, 1, 2),
			"netlink reply: an error without a number"},
		{"that repeats a request without end",
			message(36, unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS,
				append([]byte{0xff, 0xff, 0xff, 0xff}, message(1<<32-1, 16, 0)...)...),
			"operation not permitted"},
	} {
		replies, err := parseReplies(c.data)
		if err != nil || len(replies) != 1 {
			t.Errorf("%s: %d replies, %v", c.about, len(replies), err)
			continue
		}
		got := "<nil>"
		if err := replies[0].err(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.about, got, c.want)
		}
	}
}

// TestAttributes encodes some and finds them again.
func TestAttributes(t *testing.T) {
	data := append(attribute(1, []byte("a")), attribute(2, []byte("long"), []byte("er"))...)
	for kind, want := range map[uint16]string{1: "a", 2: "longer", 3: ""} {
		got, err := findAttribute(data, kind)
		if err != nil || string(got) != want || len(data) != 8+12 {
			t.Errorf("attribute %d of %q: %q, %v, want %q", kind, data, got, err, want)
		}
	}
	for _, hostile := range [][]byte{{3, 0, 1, 0}, {0, 0, 0, 0}, {9, 0, 1, 0, 1, 2, 3, 4}} {
		if got, err := findAttribute(hostile, 7); err == nil {
			t.Errorf("%v: %v, and no error", hostile, got)
		}
	}
}

// TestRequestErrors asks the kernel for what it refuses, and wants to read what was asked.
func TestRequestErrors(t *testing.T) {
	n, err := dialNetlink(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	_, err = n.index("no-such-link")
	asked := "ip link show no-such-link: "
	if !errors.Is(err, unix.ENODEV) || !strings.HasPrefix(err.Error(), asked) {
		t.Errorf("a link that isn't there: %v", err)
	}
	if routes, err := n.routes(); err != nil || len(routes) == 0 {
		t.Errorf("routes: %v, %v", routes, err)
	}
}

// FuzzReplies: whatever is received, it is parsed or refused.
func FuzzReplies(f *testing.F) {
	f.Add([]byte{})
	f.Add(message(20, unix.NLMSG_DONE, 0, 0, 0, 0, 0))
	f.Add(refusal(int32(unix.EINVAL), attribute(unix.NLMSGERR_ATTR_MSG, text("reason"))...))
	f.Add(message(36, unix.NLMSG_ERROR, unix.NLM_F_ACK_TLVS, message(1<<32-1, 16, 0)...))
	f.Add(message(1<<32-1, 16, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		replies, err := parseReplies(data)
		if err == nil && len(replies)*unix.SizeofNlMsghdr > len(data) {
			t.Errorf("%d replies out of %d bytes", len(replies), len(data))
		}
		for _, r := range replies {
			_ = r.err()
			_, _ = findAttribute(r.body, unix.IFLA_IFNAME)
		}
	})
}
