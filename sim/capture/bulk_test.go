package capture_test

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/socket"
)

// TestCaptureOfBulk: a tap that comes while large writes are under way, whose text is lent and whose segments are joined as
// long as nobody looks, sees ordinary TCP from the next packet on: segments that fit the MTU, one behind the other, with
// sound checksums and the text that is written, and ACKs of what was sent. Who writes and who reads notice nothing.
func TestCaptureOfBulk(t *testing.T) {
	const block, third = 64 << 10, 2 << 20
	s := socket.New(socket.Config{Seed: 1})
	defer s.Close()
	l, err := s.Listen("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	var mu sync.Mutex
	var frames []frame
	tap := func() (remove func()) {
		return s.NIC().AddTap(func(dir device.Direction, now time.Duration, n *device.NIC, p *device.Packet) {
			if dir == device.DirRX {
				mu.Lock()
				defer mu.Unlock()
				frames = append(frames, frame{at: now, raw: n.AppendWire(nil, p)})
			}
		})
	}
	remove := tap()
	c, err := s.Dial("tcp4", "127.0.0.1:80")
	require.NoError(t, err)
	remove()
	a, err := l.Accept()
	require.NoError(t, err)
	text := make([]byte, 3*third)
	for i := range text {
		text[i] = byte(i ^ i>>8 ^ i>>16)
	}
	read := make(chan []byte)
	go func() {
		got := make([]byte, 2*third)
		n, _ := io.ReadFull(a, got)
		read <- got[:n]
		got, _ = io.ReadAll(a)
		read <- got
	}()
	write := func(text []byte) {
		for p := range slices.Chunk(text, block) {
			_, err := c.Write(p)
			require.NoError(t, err)
		}
	}
	write(text[:third])
	remove = tap()
	write(text[third : 2*third])
	require.True(t, bytes.Equal(text[:2*third], <-read))
	remove()
	write(text[2*third:])
	require.NoError(t, c.Close())
	require.True(t, bytes.Equal(text[2*third:], <-read))
	require.NoError(t, a.Close())
	mu.Lock()
	defer mu.Unlock()
	checkBulk(t, frames, text, third)
}

// checkBulk checks the handshake of a connection to port 80 and what was seen of text, which was sent there: at least n bytes of it.
func checkBulk(t *testing.T, frames []frame, text []byte, n int) {
	const handshake = 3
	first := decode(frames[0].raw).TransportLayer().(*layers.TCP)
	require.True(t, first.SYN && first.DstPort == 80)
	var next, acked uint32 // from the beginning of text
	seen, acks := 0, 0
	for _, f := range frames[handshake:] {
		p := decode(f.raw)
		require.Nil(t, p.ErrorLayer(), "%v", p)
		ip, h := p.NetworkLayer().(*layers.IPv4), p.TransportLayer().(*layers.TCP)
		require.EqualValues(t, len(f.raw), ip.Length)
		require.LessOrEqual(t, len(f.raw), device.DefaultMTU)
		require.True(t, bytes.Equal(f.raw, serialize(ip, h, gopacket.Payload(h.Payload))), "checksums")
		require.True(t, h.ACK && !h.SYN && !h.RST && !h.URG)
		if h.DstPort != 80 {
			require.Empty(t, h.Payload)
			ack := h.Ack - first.Seq - 1
			require.GreaterOrEqual(t, ack, acked, "ACKs do not go back")
			require.True(t, next == 0 || ack <= next, "nor are they ahead")
			acked = ack
			acks++
			continue
		}
		at := h.Seq - first.Seq - 1
		require.True(t, bytes.Equal(text[at:][:len(h.Payload)], h.Payload))
		end := at + uint32(len(h.Payload))
		if next > 0 && end <= next {
			continue // a tail loss probe, where the reader is slow
		}
		require.True(t, next == 0 || at == next, "%d to %d, where %d is next", at, end, next)
		next = end
		seen += len(h.Payload)
	}
	require.GreaterOrEqual(t, seen, n)
	require.Greater(t, acks, 1)
}
