package packetdrill

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// tcpFlags are the flags of a TCP header, with the bits they have there.
type tcpFlags uint16

const (
	flagFIN tcpFlags = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
	flagURG
	flagECE
	flagCWR
	flagAE
)

// flagLetters are the letters of the flags in a script, from bit 0.
const flagLetters = "FSRP.UEWA"

// String writes flags in the order that scripts are used to.
func (f tcpFlags) String() string {
	if f == 0 {
		return "-"
	}
	var b strings.Builder
	for _, i := range [...]int{1, 0, 2, 3, 6, 7, 8, 5, 4} { // S F R P E W A U .
		if f&(1<<i) != 0 {
			b.WriteByte(flagLetters[i])
		}
	}
	return b.String()
}

// Kinds of TCP options.
const (
	optEOL          = 0
	optNOP          = 1
	optMSS          = 2
	optWScale       = 3
	optSACKOK       = 4
	optSACK         = 5
	optTimestamps   = 8
	optMD5          = 19
	optFastOpen     = 34
	optExperimental = 254
)

// maxTCPOptions is the room for options in a TCP header.
const maxTCPOptions = 40

// sackBlock is start:end of a SACK option.
type sackBlock struct{ start, end uint32 }

// tcpOption is one TCP option, of a script or of a packet.
type tcpOption struct {
	kind   uint8
	value  uint32 // mss, wscale, TS val
	ecr    uint32
	anyVal bool // "TS val *", in a script
	anyEcr bool
	blocks []sackBlock
	data   []byte // of other options
	raw    bool   // data as given, whatever the kind
	bytes  bool   // data are all bytes of the option
}

// size is the length of the option on the wire.
func (o tcpOption) size() int {
	switch {
	case o.bytes:
		return len(o.data)
	case o.raw:
		return 2 + len(o.data)
	case o.kind == optEOL, o.kind == optNOP:
		return 1
	case o.kind == optMSS:
		return 4
	case o.kind == optWScale:
		return 3
	case o.kind == optSACKOK:
		return 2
	case o.kind == optSACK:
		return 2 + 8*len(o.blocks)
	case o.kind == optTimestamps:
		return 10
	}
	return 2 + len(o.data)
}

func (o tcpOption) append(b []byte) []byte {
	if o.bytes {
		return append(b, o.data...)
	}
	if !o.raw && (o.kind == optEOL || o.kind == optNOP) {
		return append(b, o.kind)
	}
	b = append(b, o.kind, uint8(o.size()))
	switch {
	case o.raw:
		return append(b, o.data...)
	case o.kind == optMSS:
		return binary.BigEndian.AppendUint16(b, uint16(o.value))
	case o.kind == optWScale:
		return append(b, uint8(o.value))
	case o.kind == optSACK:
		for _, s := range o.blocks {
			b = binary.BigEndian.AppendUint32(b, s.start)
			b = binary.BigEndian.AppendUint32(b, s.end)
		}
		return b
	case o.kind == optTimestamps:
		b = binary.BigEndian.AppendUint32(b, o.value)
		return binary.BigEndian.AppendUint32(b, o.ecr)
	}
	return append(b, o.data...)
}

// appendOptions writes options, padded with EOL to a multiple of four bytes.
func appendOptions(b []byte, opts []tcpOption) []byte {
	n := 0
	for _, o := range opts {
		b = o.append(b)
		n += o.size()
	}
	for ; n%4 != 0; n++ {
		b = append(b, optEOL)
	}
	return b
}

// parseOptions reads the options of a TCP header. Padding after an EOL is
// left out; it must be zero.
func parseOptions(b []byte) ([]tcpOption, error) {
	var opts []tcpOption
	for len(b) > 0 {
		kind := b[0]
		switch {
		case kind == optEOL:
			for _, c := range b {
				if c != 0 {
					return nil, fmt.Errorf("padding after the end of TCP options is not zero")
				}
			}
			return append(opts, tcpOption{kind: optEOL}), nil
		case kind == optNOP:
			opts = append(opts, tcpOption{kind: kind})
			b = b[1:]
			continue
		case len(b) < 2 || b[1] < 2 || int(b[1]) > len(b):
			return nil, fmt.Errorf("TCP option %d has a bad length", kind)
		}
		o, err := parseOption(kind, b[2:b[1]])
		if err != nil {
			return nil, err
		}
		opts = append(opts, o)
		b = b[b[1]:]
	}
	return opts, nil
}

func parseOption(kind uint8, data []byte) (tcpOption, error) {
	o := tcpOption{kind: kind}
	want := len(data)
	switch kind {
	case optMSS:
		if want = 2; len(data) == want {
			o.value = uint32(binary.BigEndian.Uint16(data))
		}
	case optWScale:
		if want = 1; len(data) == want {
			o.value = uint32(data[0])
		}
	case optSACKOK:
		want = 0
	case optSACK:
		want = len(data) / 8 * 8
		for i := 0; i < want; i += 8 {
			o.blocks = append(o.blocks, sackBlock{binary.BigEndian.Uint32(data[i:]), binary.BigEndian.Uint32(data[i+4:])})
		}
	case optTimestamps:
		if want = 8; len(data) == want {
			o.value, o.ecr = binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
		}
	default:
		o.data = append([]byte(nil), data...)
	}
	if len(data) != want {
		return o, fmt.Errorf("TCP option %d has a bad length", kind)
	}
	return o, nil
}

// String writes an option as in a script.
func (o tcpOption) String() string {
	switch {
	case o.bytes:
		return "bytes 0x" + hex.EncodeToString(o.data)
	case o.raw:
		return fmt.Sprintf("kind %d 0x%s", o.kind, hex.EncodeToString(o.data))
	case o.kind == optEOL:
		return "eol"
	case o.kind == optNOP:
		return "nop"
	case o.kind == optMSS:
		return fmt.Sprintf("mss %d", o.value)
	case o.kind == optWScale:
		return fmt.Sprintf("wscale %d", o.value)
	case o.kind == optSACKOK:
		return "sackOK"
	case o.kind == optSACK:
		text := "sack"
		for _, b := range o.blocks {
			text += fmt.Sprintf(" %d:%d", b.start, b.end)
		}
		return text
	case o.kind == optTimestamps:
		return "TS val " + anyNumber(o.value, o.anyVal) + " ecr " + anyNumber(o.ecr, o.anyEcr)
	case o.kind == optFastOpen:
		return strings.TrimSpace("FO " + hex.EncodeToString(o.data))
	case o.kind == optExperimental && len(o.data) >= 2 && o.data[0] == 0xf9 && o.data[1] == 0x89:
		return strings.TrimSpace("FOEXP " + hex.EncodeToString(o.data[2:]))
	}
	return fmt.Sprintf("kind %d 0x%s", o.kind, hex.EncodeToString(o.data))
}

func anyNumber(n uint32, any bool) string {
	if any {
		return "*"
	}
	return fmt.Sprint(n)
}

func formatOptions(opts []tcpOption) string {
	parts := make([]string, len(opts))
	for i, o := range opts {
		parts[i] = o.String()
	}
	return "<" + strings.Join(parts, ",") + ">"
}
