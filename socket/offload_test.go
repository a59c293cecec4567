package socket

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/ipv4/checksum"
	"example.com/loopback/tcp"
)

// joiner is a connection whose next Write of text is sent in one packet, with the baton held.
type joiner struct {
	*testing.T
	s    *Stack
	c, a *TCPConn
	r    *receiver
	now  time.Duration
	text []byte
}

// newJoiner returns one for so many segments. It is for a bubble of synctest.
func newJoiner(t *testing.T, addr string, segs int) *joiner {
	j := &joiner{T: t, s: New(Config{Queues: 1, RingSize: 8})}
	j.s.pool.Audit = true
	j.c, j.a = ends(t, j.s, addr)
	for range 8 { // round trips, for the window to grow
		warm(t, j.c, j.a)
		time.Sleep(time.Millisecond)
	}
	j.r = &j.s.receivers[0]
	j.text = make([]byte, segs*j.c.tcb.SendMSS())
	rand.NewChaCha8([32]byte{1}).Read(j.text)
	j.c.lock()
	for i := 0; !j.c.tcb.MayLend(len(j.text)); i++ {
		require.Less(t, i, 20, "shy no longer")
	}
	j.c.mu.Unlock()
	require.True(t, j.s.nic.Ring(0))
	j.r.apart = 0 // whatever happened on the way
	return j
}

// lend lends the text, and leaves the lock held.
func (j *joiner) lend() {
	j.c.lock()
	j.now = j.c.at(j.s.now())
	j.c.tcb.Lend(j.now, j.text, false, nil)
	require.True(j, j.c.tcb.LoneRun())
	j.r.lender, j.r.now = j.c, j.now
}

// arrives gives back the lock and the baton, and sees that the text arrives, unimpaired.
func (j *joiner) arrives() {
	j.c.rearm()
	j.c.mu.Unlock()
	j.s.run(0, j.now, false)
	want := bytes.Clone(j.text)
	clear(j.text)
	got := make([]byte, len(want))
	_, err := io.ReadFull(j.a, got)
	require.NoError(j, err)
	require.True(j, bytes.Equal(want, got))
	require.NoError(j, j.c.Close())
	require.NoError(j, j.a.Close())
	require.NoError(j, j.s.Close())
	synctest.Wait() // whoever has sent the rest again and woken the reader may not be done with it
	require.Zero(j, j.s.pool.Stats().PacketsOut)
}

// TestTakenApart: a packet that stands for several segments is taken apart into what they would have been, as gopacket sees
// them: sequence numbers, identifications, lengths, flags and checksums.
func TestTakenApart(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80"} {
		t.Run(addr, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { takenApart(t, addr) }) })
	}
}

func takenApart(t *testing.T, addr string) {
	j := newJoiner(t, addr, 3)
	j.lend()
	id := j.c.ipID
	handle := j.r.handle
	var wire [][]byte
	j.r.handle = func(p *device.Packet) {
		require.LessOrEqual(t, p.Segs, uint8(1))
		require.NotZero(t, p.Flags&device.FlagLent)
		require.EqualValues(t, tcp.CauseNewData, p.Cause)
		require.Equal(t, j.now, p.At)
		wire = append(wire, j.s.nic.AppendWire(nil, p))
		handle(p)
	}
	n, p, ok := j.c.sendOfRun(j.now, j.r, j.text)
	require.True(t, ok)
	require.Equal(t, len(j.text), n)
	require.EqualValues(t, 3, p.Segs)
	require.Equal(t, id+3, j.c.ipID)
	j.c.mu.Unlock()
	j.r.takeApart(p)
	j.r.handle = handle
	require.Len(t, wire, 3)
	var seq uint32
	var got []byte
	for i, b := range wire {
		first, opts := gopacket.LayerType(layers.LayerTypeIPv4), gopacket.DecodeOptions{}
		if b[0]>>4 == 6 {
			first = layers.LayerTypeIPv6
		}
		decoded := gopacket.NewPacket(b, first, opts)
		require.Nil(t, decoded.ErrorLayer())
		if ip, ok := decoded.NetworkLayer().(*layers.IPv4); ok {
			require.Equal(t, id+uint16(i), ip.Id)
			require.EqualValues(t, len(b), ip.Length)
			require.Equal(t, layers.IPv4DontFragment, ip.Flags)
		} else {
			require.EqualValues(t, len(b)-40, decoded.NetworkLayer().(*layers.IPv6).Length)
		}
		seg := decoded.TransportLayer().(*layers.TCP)
		require.True(t, i == 0 || seg.Seq == seq)
		seq = seg.Seq + uint32(len(seg.Payload))
		require.Equal(t, i == 2, seg.PSH)
		require.True(t, seg.ACK)
		require.False(t, seg.FIN || seg.SYN || seg.RST || seg.URG)
		got = append(got, seg.Payload...)
		require.NoError(t, seg.SetNetworkLayerForChecksum(decoded.NetworkLayer()))
		sum, err := seg.ComputeChecksum()
		require.NoError(t, err)
		require.Zero(t, sum, "with the checksum that is there")
		require.True(t, b[0]>>4 == 6 || checksum.Fold(checksum.Sum(b[:20], 0)) == 0xffff)
	}
	require.Equal(t, j.text, got)
	j.c.lock()
	j.c.tcb.RunSent(j.now)
	j.arrives()
}

// TestJoinedArrive: whatever happens between the decision to send segments in one packet and its receipt, they arrive, or are
// sent again.
func TestJoinedArrive(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(j *joiner) // before
		room bool            // whether they are still joined
		late func(j *joiner) // in the last instant
		lost uint64
	}{
		{name: "nothing", room: true},
		{name: "a tap", do: func(j *joiner) { j.s.nic.AddTap(func(device.Direction, time.Duration, *device.NIC, *device.Packet) {}) }},
		{name: "checksums", do: func(j *joiner) { j.s.verify = true }},
		{name: "a reader had little room", do: func(j *joiner) { j.r.apart = 2 }},
		{name: "a tap in the last instant", room: true, late: func(j *joiner) {
			j.s.nic.AddTap(func(_ device.Direction, _ time.Duration, _ *device.NIC, p *device.Packet) {
				require.LessOrEqual(j, p.Len(), j.s.nic.MTU())
				require.Zero(j, p.Segs)
			})
		}},
		{name: "another packet in the last instant", room: true, late: func(j *joiner) { j.s.send(0, j.s.nic.NewPacket(0, true)) }},
		{name: "a full ring in the last instant", room: true, lost: 3, late: func(j *joiner) {
			for range 8 {
				require.Equal(j, device.TxOK, j.s.nic.Transmit(0, j.s.pool.NewPacket()))
			}
		}},
		{name: "room for one in the last instant", room: true, lost: 2, late: func(j *joiner) {
			for range 7 {
				require.Equal(j, device.TxOK, j.s.nic.Transmit(0, j.s.pool.NewPacket()))
			}
		}},
		{name: "down in the last instant", room: true, lost: 3, late: func(j *joiner) { j.s.nic.SetUp(false) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJoiner(t, "127.0.0.1:80", 3)
				if tt.do != nil {
					tt.do(j)
				}
				j.lend()
				room := j.r.roomToJoin(plainHead4)
				require.Equal(t, tt.room, room > 0)
				p := j.s.nic.NewPacket(0, true)
				j.c.node.label(p, tcp.CauseNewData, false)
				b := p.SetHead(plainHead4)
				n, segs := j.c.tcb.SendRun(j.now, (*[tcp.TSHeaderLen]byte)(b[20:]), room, nil)
				if !tt.room {
					require.Equal(t, 1, segs)
					return
				}
				require.Equal(t, 3, segs)
				p.Frags[0].B, p.Flags, p.Segs = j.text[:n], p.Flags|device.FlagLent, 3
				j.s.ipBehind(b, &j.c.node.key, j.c.node.sum, protoTCP, 0, 7, 1<<14, tcp.TSHeaderLen+n)
				offload(p, 20, tcpCsumOffset)
				setLength(b, 20, n)
				j.c.tcb.RunSent(j.now)
				if tt.late != nil {
					tt.late(j)
				}
				tx := j.s.nic.Counters().TX
				if own := j.r.transmitJoined(j.now, p); own != nil {
					require.Nil(t, tt.late)
					j.c.mu.Unlock()
					j.r.handle(own)
					j.c.lock()
				}
				require.Equal(t, tt.lost, j.s.count.outDiscards.Load())
				after := j.s.nic.Counters().TX
				require.Equal(t, tt.lost, after.Busy-tx.Busy+after.Carrier-tx.Carrier)
				j.s.nic.SetUp(true)
				j.arrives()
			})
		})
	}
}

// TestJoinedForReader: who waits with room for it gets the text in one piece; who has less room gets what fits, and for a while
// nothing is joined; who does not wait gets it from the queue; with a raw socket listening nothing is in one piece.
func TestJoinedForReader(t *testing.T) {
	for _, tt := range []struct {
		name  string
		room  int // of the reader; 0: there is none
		raw   bool
		want  []uint8 // how many segments the packets stand for that reach the receiver
		apart int
	}{
		{name: "waits", room: 64 << 10, want: []uint8{3}},
		{name: "just fits", room: 48 << 10, want: []uint8{3}},
		{name: "has little room", room: 48<<10 - 1, want: []uint8{3}}, // and borrows
		{name: "does not wait", want: []uint8{3, 0, 0, 0}},
		{name: "raw", room: 64 << 10, raw: true, want: []uint8{3, 0, 0, 0}, apart: apartFor},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJoiner(t, "127.0.0.1:80", 3)
				j.s.nic.Rest(0)
				if tt.raw {
					j.s.raw.n.Add(1)
					defer j.s.raw.n.Add(-1)
				}
				handle := j.r.handle
				var segs []uint8
				j.r.handle = func(p *device.Packet) {
					if len(p.Frags[0].B) > 0 {
						segs = append(segs, p.Segs)
					}
					handle(p)
				}
				before, segsIn, segsOut := j.s.nic.Counters().TX, counterOf(j.s, "Tcp", "InSegs"), counterOf(j.s, "Tcp", "OutSegs")
				delivers := counterOf(j.s, "Ip", "InDelivers")
				got := make(chan []byte)
				read := func() {
					buf := make([]byte, max(tt.room, len(j.text)))
					n, _ := j.a.Read(buf[:max(tt.room, 1)])
					rest, _ := io.ReadAll(io.LimitReader(j.a, int64(len(j.text)-n)))
					got <- append(buf[:n], rest...)
				}
				if tt.room > 0 {
					go read()
					synctest.Wait()
				}
				_, err := j.c.Write(j.text)
				require.NoError(t, err)
				if tt.room == 0 {
					go read()
				}
				require.True(t, bytes.Equal(j.text, <-got))
				require.Equal(t, tt.want, segs)
				require.Equal(t, tt.apart, j.r.apart)
				synctest.Wait()
				after := j.s.nic.Counters().TX
				packets := after.Packets - before.Packets // with the ACKs
				require.EqualValues(t, len(j.text)+int(packets)*plainHead4, after.Bytes-before.Bytes)
				require.Equal(t, packets, counterOf(j.s, "Tcp", "OutSegs")-segsOut)
				require.Equal(t, packets, counterOf(j.s, "Tcp", "InSegs")-segsIn)
				require.Equal(t, packets, counterOf(j.s, "Ip", "InDelivers")-delivers)
				require.NoError(t, j.s.Close())
			})
		})
	}
}

// counterOf returns a counter of s.
func counterOf(s *Stack, group, name string) (n uint64) {
	for _, c := range s.Counters() {
		if c.Group == group && c.Name == name {
			return c.Value
		}
	}
	panic("no counter " + group + " " + name)
}
