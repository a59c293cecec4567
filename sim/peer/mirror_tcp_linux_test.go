package peer

import (
	"encoding/binary"
	"slices"

	"github.com/google/gopacket/layers"
)

// A singlePacket is sent to both hosts.
type singlePacket struct {
	name    string
	make    func(p probe) []byte
	differs string // why the Stack may answer in another way
}

// singlePackets is all of them.
func singlePackets(family int) []singlePacket {
	lists := [][]singlePacket{
		segmentsTo(closedPort, "a closed port"), segmentsTo(openPort, "a listener"), synOptions(), brokenSegments(), udpPackets(family),
	}
	if family == 4 {
		lists = append(lists, icmp4Packets(), headers4(), options4())
	} else {
		lists = append(lists, icmp6Packets(), headers6(), extensions6())
	}
	return slices.Concat(lists...)
}

// TCP options.
var (
	optNOP       = layers.TCPOption{OptionType: layers.TCPOptionKindNop}
	optMSS       = tcpOption(layers.TCPOptionKindMSS, 1460>>8, 1460&255)
	optSACKOK    = tcpOption(layers.TCPOptionKindSACKPermitted)
	optTimestamp = tcpOption(layers.TCPOptionKindTimestamps, 0, 0, 0, 9, 0, 0, 0, 0)
	optWScale    = tcpOption(layers.TCPOptionKindWindowScale, 7)
)

func tcpOption(kind layers.TCPOptionKind, data ...byte) layers.TCPOption {
	return layers.TCPOption{OptionType: kind, OptionLength: uint8(2 + len(data)), OptionData: data}
}

// segment is a segment with so many bytes of data.
func segment(name string, port uint16, flags string, payload int, opts ...layers.TCPOption) singlePacket {
	return singlePacket{name: name, make: func(p probe) []byte { return p.tcp(port, flags, opts, make([]byte, payload)) }}
}

// segmentsTo are segments with all flags to a port.
func segmentsTo(port uint16, to string) (list []singlePacket) {
	for _, flags := range []string{
		"S", ".", "F", "F.", "S.", "R", "R.", "P.", "", "P", "U", "SF", "SR", "SP", "SU", "SFR", "FR", "SEW", "SE", "SW", "SFPU.", "FPU", "S.EW",
	} {
		list = append(list, segment("["+flags+"] to "+to, port, flags, 0))
	}
	return append(list,
		segment("data to "+to, port, "P.", 100),
		segment("data without ACK to "+to, port, "P", 100),
		segment("data with FIN and without ACK to "+to, port, "F", 100),
		segment("data and timestamps to "+to, port, "P.", 100, optNOP, optNOP, optTimestamp),
		segment("SYN with data to "+to, port, "S", 100, optMSS),
		segment("SYN of today to "+to, port, "S", 0, optMSS, optSACKOK, optTimestamp, optNOP, optWScale),
	)
}

// synOptions are SYNs with options, to a listener.
func synOptions() (list []singlePacket) {
	for _, x := range []struct {
		name string
		opts []layers.TCPOption
	}{
		{"MSS", []layers.TCPOption{optMSS}},
		{"MSS 0", []layers.TCPOption{tcpOption(layers.TCPOptionKindMSS, 0, 0)}},
		{"MSS 1", []layers.TCPOption{tcpOption(layers.TCPOptionKindMSS, 0, 1)}},
		{"MSS 65535", []layers.TCPOption{tcpOption(layers.TCPOptionKindMSS, 255, 255)}},
		{"SACK permitted", []layers.TCPOption{optSACKOK}},
		{"timestamps", []layers.TCPOption{optTimestamp}},
		{"SACK permitted and timestamps", []layers.TCPOption{optSACKOK, optTimestamp}},
		{"window scale", []layers.TCPOption{optWScale}},
		{"window scale 14", []layers.TCPOption{tcpOption(layers.TCPOptionKindWindowScale, 14)}},
		{"window scale 15", []layers.TCPOption{tcpOption(layers.TCPOptionKindWindowScale, 15)}},
		{"window scale 255", []layers.TCPOption{tcpOption(layers.TCPOptionKindWindowScale, 255)}},
		{"NOPs", []layers.TCPOption{optNOP, optNOP, optNOP, optNOP}},
		{"an unknown option", []layers.TCPOption{tcpOption(77, 1, 2, 3, 4), optMSS}},
		{"MSS of a wrong length", []layers.TCPOption{tcpOption(layers.TCPOptionKindMSS, 1)}},
		{"timestamps of a wrong length", []layers.TCPOption{tcpOption(layers.TCPOptionKindTimestamps, 1, 2, 3, 4)}},
		{"the end of options before MSS", []layers.TCPOption{{OptionType: layers.TCPOptionKindEndList}, {OptionType: 2}, {OptionType: 4}, {OptionType: 5}}},
		{"a Fast Open cookie", []layers.TCPOption{tcpOption(34, 1, 2, 3, 4, 5, 6, 7, 8), optMSS}},
		{"a request for a Fast Open cookie", []layers.TCPOption{tcpOption(34), optMSS}},
	} {
		list = append(list, segment("SYN with "+x.name, openPort, "S", 0, x.opts...))
	}
	wrong := segment("SYN with MSS of a wrong length before another option", openPort, "S", 0, tcpOption(layers.TCPOptionKindMSS, 1), optWScale)
	wrong.differs = "Linux skips an option of a known kind and a wrong length, we read none behind it"
	return append(list, wrong)
}

// brokenSegments are SYNs to a listener with a header that is wrong or unusual, and whose checksum is right.
func brokenSegments() (list []singlePacket) {
	for _, x := range []struct {
		name   string
		change func(tcp []byte) // the options begin at 20 with MSS, at 24 with the window scale
	}{
		{"an option of length 0", func(b []byte) { b[21] = 0 }},
		{"an option of length 1", func(b []byte) { b[21] = 1 }},
		{"an option that is too long", func(b []byte) { b[25] = 9 }},
		{"a header of 16 bytes", func(b []byte) { b[12] = 4 << 4 }},
		{"a header longer than the segment", func(b []byte) { b[12] = 15 << 4 }},
		{"reserved bits", func(b []byte) { b[12] |= 0xe }},
		{"source port 0", func(b []byte) { b[0], b[1] = 0, 0 }},
		{"destination port 0", func(b []byte) { b[2], b[3] = 0, 0 }},
	} {
		list = append(list, singlePacket{name: "SYN with " + x.name, make: func(p probe) []byte {
			b := p.tcp(openPort, "S", []layers.TCPOption{optMSS, optWScale, optNOP}, nil)
			b = b[len(b)-28:]
			x.change(b)
			return p.raw(layers.IPProtocolTCP, fixed(p, 6, 16, b))
		}})
	}
	return append(list,
		singlePacket{name: "SYN with a wrong checksum", make: func(p probe) []byte {
			b := p.tcp(openPort, "S", nil, nil)
			b[len(b)-3]++
			return b
		}},
		singlePacket{name: "half a TCP header", make: func(p probe) []byte { return p.raw(layers.IPProtocolTCP, make([]byte, 10)) }},
	)
}

// fixed fills in the transport checksum of t, at the given offset.
func fixed(p probe, proto uint8, offset int, t []byte) []byte {
	src, dst := addrB[p.family].AsSlice(), addrA[p.family].AsSlice()
	sum := uint32(proto) + uint32(len(t))
	t[offset], t[offset+1] = 0, 0
	for _, b := range [][]byte{src, dst, t} {
		for i, c := range b {
			sum += uint32(c) << (8 * (1 - i%2))
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(t[offset:], ^uint16(sum))
	return t
}
