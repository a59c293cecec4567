package packetdrill

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim/capture"
	"example.com/loopback/tcp"
)

// TestEveryRetransmissionNamesItsCause plays all our scripts and looks at what the stack sends: a segment whose
// numbers were sent before is one that its cause calls a retransmission, no other is, and the scripts show every cause.
func TestEveryRetransmissionNamesItsCause(t *testing.T) {
	fsys := os.DirFS("testdata")
	names, err := Scripts(fsys)
	require.NoError(t, err)
	seen := map[tcp.Cause]int{}
	for _, name := range names {
		src, err := os.ReadFile("testdata/" + name)
		require.NoError(t, err)
		script, err := Parse(name, string(src))
		require.NoError(t, err)
		for _, version := range script.Versions() {
			w := &causeWatch{t: t, name: name + " " + string(version), seen: seen, ends: map[[2]netip.AddrPort]uint32{}}
			require.NoError(t, script.Run(w.kernel, Options{IPVersion: version}))
		}
	}
	for c := tcp.CauseNone; ; c++ {
		if strings.HasPrefix(c.String(), "cause(") {
			break
		}
		if capture.Notable(c) {
			require.NotZero(t, seen[c], "no script shows %v", c)
		}
		t.Logf("%6d %v", seen[c], c)
	}
}

// A causeWatch compares the causes that a stack gives with what it sends.
type causeWatch struct {
	*stackKernel
	t    *testing.T
	name string
	seen map[tcp.Cause]int
	ends map[[2]netip.AddrPort]uint32 // the highest number sent, by flow
}

func (w *causeWatch) kernel(setup Setup) (Kernel, error) {
	k, err := NewStack(setup)
	if err != nil {
		return nil, err
	}
	w.stackKernel = k.(*stackKernel)
	return w, nil
}

// NextOutbound implements Wire.
func (w *causeWatch) NextOutbound() ([]byte, time.Duration, bool) {
	b, at, ok := w.stackKernel.NextOutbound()
	if !ok {
		return b, at, ok
	}
	p, err := decode(b)
	require.NoError(w.t, err)
	cause := w.last
	if p.proto != protoTCP || p.frag {
		require.Equal(w.t, tcp.CauseNone, cause, w.name)
		return b, at, ok
	}
	require.NotEqual(w.t, tcp.CauseNone, cause, "%s: a segment without a cause", w.name)
	w.seen[cause]++
	flow := [2]netip.AddrPort{netip.AddrPortFrom(p.src, p.srcPort), netip.AddrPortFrom(p.dst, p.dstPort)}
	length := uint32(len(p.data))
	for _, f := range []tcpFlags{flagSYN, flagFIN} {
		if p.flags&f != 0 {
			length++
		}
	}
	if length == 0 || p.flags&flagRST != 0 {
		require.False(w.t, cause.Retransmission(), "%s: %v of nothing", w.name, cause)
		return b, at, ok
	}
	end, known := w.ends[flow]
	again := known && int32(p.seq+length-end) <= 0 && (cause != tcp.CauseSYN && cause != tcp.CauseSYNACK)
	require.Equal(w.t, again, cause.Retransmission(), "%s, at %v: %s is because of %v", w.name, at, p, cause)
	require.Equal(w.t, cause.Retransmission(), strings.HasPrefix(w.OutboundCause(), "retransmit-"), "traces say it")
	if !known || int32(p.seq+length-end) > 0 || cause == tcp.CauseSYN || cause == tcp.CauseSYNACK {
		w.ends[flow] = p.seq + length
	}
	return b, at, ok
}
