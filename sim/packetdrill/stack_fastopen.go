package packetdrill

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"example.com/loopback/socket"
)

// fastOpenKeys reads the value of tcp_fastopen_key: one key or two with a comma between, each four numbers in hex.
func fastOpenKeys(value string) (keys [][16]byte, err error) {
	for _, text := range strings.Split(value, ",") {
		words := strings.Split(strings.TrimSpace(text), "-")
		if len(words) != 4 {
			return nil, fmt.Errorf("%q is no key of TCP Fast Open", value)
		}
		var key [16]byte
		for i, w := range words {
			n, err := strconv.ParseUint(w, 16, 32)
			if err != nil {
				return nil, fmt.Errorf("%q is no key of TCP Fast Open", value)
			}
			binary.LittleEndian.PutUint32(key[4*i:], uint32(n))
		}
		keys = append(keys, key)
	}
	if len(keys) > 2 {
		return nil, fmt.Errorf("%q: more than two keys of TCP Fast Open", value)
	}
	return keys, nil
}

// setFastOpen sets an option of TCP Fast Open; known tells whether it is one.
func (d *descriptor) setFastOpen(name string, v int) (known bool, err error) {
	o := d.FastOpen()
	switch name {
	case "TCP_FASTOPEN":
		o.Queue = v
	case "TCP_FASTOPEN_CONNECT":
		o.Connect = v != 0
	case "TCP_FASTOPEN_NO_COOKIE":
		o.NoCookie = v != 0
	default:
		return false, nil
	}
	if name != "TCP_FASTOPEN" && (v < 0 || v > 1) {
		return true, syscall.EINVAL
	}
	return true, d.SetFastOpen(o)
}

// fastOpenValue reads an option of TCP Fast Open back.
func fastOpenValue(o socket.FastOpenOptions, name string) (v int, known bool) {
	switch name {
	case "TCP_FASTOPEN":
		return o.Queue, true
	case "TCP_FASTOPEN_CONNECT":
		return boolInt(o.Connect), true
	case "TCP_FASTOPEN_NO_COOKIE":
		return boolInt(o.NoCookie), true
	}
	return 0, false
}
