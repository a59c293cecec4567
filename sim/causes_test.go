package sim_test

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// Networks on which segments have to be sent again, and what for.
var lossy = []struct {
	name   string
	tcp    tcp.Config
	way    sim.Impairment
	events func(n *sim.Net, a, b *sim.Host)
	want   []tcp.Cause
}{
	{name: "random loss", way: sim.Impairment{Delay: 10 * time.Millisecond, Loss: 0.05},
		want: []tcp.Cause{tcp.CauseRetransmitRACK}},
	{name: "loss without SACK", tcp: tcp.Config{SACK: tcp.Off}, way: sim.Impairment{Delay: 10 * time.Millisecond, Loss: 0.02},
		want: []tcp.Cause{tcp.CauseRetransmitFast}},
	{name: "reordering and duplicates", way: sim.Impairment{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Reorder: 0.05, Duplicate: 0.05},
		want: []tcp.Cause{tcp.CauseRetransmitRACK}},
	{name: "bursts", way: sim.Impairment{Delay: 10 * time.Millisecond, Burst: sim.GilbertElliott{ToBad: 0.01, ToGood: 0.1}},
		want: []tcp.Cause{tcp.CauseRetransmitRACK, tcp.CauseRetransmitRTO, tcp.CauseRetransmitLoss}},
	{name: "the handshake is lost", way: sim.Impairment{Delay: 10 * time.Millisecond, DropPackets: []uint64{1}},
		want: []tcp.Cause{tcp.CauseRetransmitSYN}},
	{name: "the last of all is lost", way: sim.Impairment{Delay: 10 * time.Millisecond, DropSegments: []uint64{691}},
		want: []tcp.Cause{tcp.CauseRetransmitTLP}},
	{name: "a partition", way: sim.Impairment{Delay: 10 * time.Millisecond, Rate: 20e6},
		events: func(n *sim.Net, a, b *sim.Host) {
			n.At(100*time.Millisecond, func() { n.Partition(a, b) })
			n.At(2*time.Second, n.Heal)
		},
		want: []tcp.Cause{tcp.CauseRetransmitRTO}},
	{name: "a sudden delay", way: sim.Impairment{Delay: 10 * time.Millisecond, Rate: 20e6},
		events: func(n *sim.Net, a, b *sim.Host) {
			n.At(100*time.Millisecond, func() {
				n.Link(a, b, sim.Impairment{Delay: time.Second, Rate: 20e6, InOrder: true})
			})
		},
		want: []tcp.Cause{tcp.CauseRetransmitRTO}},
	{name: "the path narrows", way: sim.Impairment{Delay: 10 * time.Millisecond, Rate: 20e6},
		events: func(n *sim.Net, a, b *sim.Host) {
			n.At(100*time.Millisecond, func() {
				n.Link(a, b, sim.Impairment{Delay: 10 * time.Millisecond, Rate: 20e6, MTU: 1400})
			})
		},
		want: []tcp.Cause{tcp.CauseRetransmitPMTU}},
}

// TestTraceNamesCauses: in the trace of a transfer over any bad network, every line of a segment that was sent before
// says why it is sent again, no other line does, and the reasons are those that the network gives.
func TestTraceNamesCauses(t *testing.T) {
	for _, l := range lossy {
		t.Run(l.name, func(t *testing.T) {
			cfg := sim.NetConfig{Seed: 7, Stack: socket.Config{MTU: 1500, TCP: &l.tcp}}
			inNet(t, cfg, func(t *testing.T, n *sim.Net) {
				a, b := n.Host("a"), n.Host("b")
				n.Link(a, b, l.way)
				if l.events != nil {
					l.events(n, a, b)
				}
				sendMegabyte(t, a, b)
				var text bytes.Buffer
				require.NoError(t, n.Recording().WriteText(&text))
				seen := causesOf(t, text.String())
				for _, c := range l.want {
					require.NotZero(t, seen[c.String()], "%v does not occur, but %v", c, seen)
				}
				var file bytes.Buffer
				require.NoError(t, n.Recording().WritePcapng(&file))
				for why, count := range seen {
					require.Equal(t, count, strings.Count(file.String(), why), "comments of the capture: %s", why)
				}
			})
		})
	}
}

// sendMegabyte sends from a to b.
func sendMegabyte(t *testing.T, a, b *sim.Host) {
	t.Helper()
	l, err := b.Listen("tcp", ":80")
	require.NoError(t, err)
	defer l.Close()
	received := make(chan int64)
	go func() {
		c, err := l.Accept()
		if err != nil {
			received <- 0
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c) // the sum tells
		received <- n
	}()
	c, err := a.Dial("tcp", "b:80")
	require.NoError(t, err)
	_, err = c.Write(make([]byte, 1e6))
	require.NoError(t, err)
	require.NoError(t, c.(*socket.TCPConn).CloseWrite())
	require.EqualValues(t, 1e6, <-received)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, c.Close())
}

var (
	segmentLine = regexp.MustCompile(`IP (\S+) > (\S+): Flags \[(\S+)\], seq (\d+)(?::(\d+))?,`)
	causeNamed  = regexp.MustCompile(` \((retransmit-[a-z]+)\)$`)
)

// causesOf checks the lines of a trace and counts the causes that it names.
func causesOf(t *testing.T, trace string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	ends := map[string]int{} // highest number sent, by direction
	for line := range strings.Lines(trace) {
		line = strings.TrimSuffix(line, "\n")
		named := causeNamed.FindStringSubmatch(line)
		m := segmentLine.FindStringSubmatch(line)
		again := false
		if m != nil && !strings.Contains(m[3], "R") {
			from, to := number(t, m[4]), number(t, m[4]) // of a FIN, without its own number
			if m[5] != "" {
				to = number(t, m[5])
			}
			way := m[1] + m[2]
			if strings.Contains(m[3], "S") {
				way, from = way+" SYN", 0
			}
			if strings.Contains(m[3], "F") || strings.Contains(m[3], "S") {
				to++
			}
			end, known := ends[way]
			again = known && to <= end
			require.False(t, known && !again && from < end && to > end+1, "old and new in one: %s", line)
			ends[way] = max(end, to)
		}
		require.Equal(t, again, named != nil, "%s", line)
		if named != nil {
			seen[named[1]]++
		}
	}
	return seen
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}
