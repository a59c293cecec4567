package socket

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// ends returns both ends of a connection on s.
func ends(t *testing.T, s *Stack, addr string) (dialled, accepted *TCPConn) {
	t.Helper()
	l, err := s.Listen("tcp", addr)
	require.NoError(t, err)
	c, err := s.Dial("tcp", addr)
	require.NoError(t, err)
	a, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return c.(*TCPConn), a.(*TCPConn)
}

// TestLentWrite: a long Write to a reader who waits is copied from one's buffer to the other's, by way of nothing but
// packets, and acknowledged once; any tap sees them.
func TestLentWrite(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80"} {
		for _, verify := range []bool{false, true} {
			for _, tapped := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s verify %v tapped %v", addr, verify, tapped), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { lentWrite(t, addr, verify, tapped) })
				})
			}
		}
	}
}

func lentWrite(t *testing.T, addr string, verify, tapped bool) {
	s := New(Config{VerifyChecksums: verify})
	s.pool.Audit = true
	c, a := ends(t, s, addr)
	text := make([]byte, 64<<10)
	rand.NewChaCha8([32]byte{1}).Read(text)
	var data, acks int
	if tapped {
		defer s.NIC().AddTap(func(dir device.Direction, _ time.Duration, n *device.NIC, p *device.Packet) {
			switch {
			case dir == device.DirRX:
			case p.Flags&device.FlagLent != 0:
				data += len(p.Frags[0].B)
			default:
				acks++
			}
		})()
	}
	var allocated int64
	for i := range 10 {
		data, acks = 0, 0
		got := make([]byte, len(text))
		done := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(a, got)
			done <- err
		}()
		synctest.Wait()
		pure := counterOf(s, "TcpExt", "TCPPureAcks")
		n, err := c.Write(text)
		require.NoError(t, err)
		require.Equal(t, len(text), n)
		unacked := c.Info().Unacked
		require.NoError(t, <-done)
		if i < 6 { // the window begins too small for it
			allocated = s.pool.Stats().BufsAllocated
			synctest.Wait()
			time.Sleep(time.Second)
			continue
		}
		require.Zero(t, unacked, "acknowledged when Write returns")
		require.Equal(t, text, got)
		require.EqualValues(t, 1, counterOf(s, "TcpExt", "TCPPureAcks")-pure)
		if tapped {
			require.Equal(t, len(text), data)
			require.Equal(t, 1, acks)
		}
	}
	require.Equal(t, allocated, s.pool.Stats().BufsAllocated, "text was copied to the pool's memory")
	require.NoError(t, c.Close())
	require.NoError(t, a.Close())
	require.NoError(t, s.Close())
}

// TestLentWithoutReader: what nobody waits for is TCP's own when Write returns.
func TestLentWithoutReader(t *testing.T) {
	s := New(Config{})
	c, a := ends(t, s, "127.0.0.1:80")
	var want []byte
	for i := range 8 {
		text := bytes.Repeat([]byte{byte(i + 1)}, 40_000)
		want = append(want, text...)
		_, err := c.Write(text)
		require.NoError(t, err)
		clear(text)
	}
	got := make([]byte, len(want))
	_, err := io.ReadFull(a, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
	require.NoError(t, s.Close())
}

// TestLentWriters: several who write at the same time take turns, and none is forgotten.
func TestLentWriters(t *testing.T) {
	s := New(Config{})
	c, a := ends(t, s, "127.0.0.1:80")
	const writers, size, each = 4, 50_000, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			text := bytes.Repeat([]byte{byte(w)}, size)
			for range each {
				if _, err := c.Write(text); err != nil {
					t.Error(err)
				}
			}
		})
	}
	got := make([]byte, size)
	for range writers * each {
		_, err := io.ReadFull(a, got)
		require.NoError(t, err)
		require.Equal(t, size, bytes.Count(got, got[:1]), "writes are not interleaved")
	}
	wg.Wait()
	require.NoError(t, s.Close())
}

// TestLoansUnderFire: whatever happens meanwhile, what is read is what was written, and nobody looks at a buffer whose
// Write has returned: it is scribbled over at once, which the race detector watches.
func TestLoansUnderFire(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		tcp  tcp.Config
		fire func(s *Stack, i int)
	}{
		{"nothing happens", Config{}, tcp.Config{}, func(s *Stack, i int) {}},
		{"two queues", Config{Queues: 2}, tcp.Config{}, func(s *Stack, i int) {}},
		{"checksums", Config{VerifyChecksums: true, MTU: 1500}, tcp.Config{}, func(s *Stack, i int) {}},
		{"short rings", Config{RingSize: 4, MTU: 1500}, tcp.Config{}, func(s *Stack, i int) {}},
		{"small buffers", Config{MTU: 4000}, tcp.Config{Rmem: [3]int{4096, 40_000, 60_000}, Wmem: [3]int{4096, 40_000, 60_000}}, func(s *Stack, i int) {}},
		{"taps come and go", Config{}, tcp.Config{}, func(s *Stack, i int) {
			remove := s.NIC().AddTap(func(_ device.Direction, _ time.Duration, n *device.NIC, p *device.Packet) { n.AppendWire(nil, p) })
			runtime.Gosched()
			remove()
		}},
		{"filters come and go", Config{}, tcp.Config{}, func(s *Stack, i int) {
			s.NIC().SetFilter(func(b []byte) int { return (len(b) % 7) * len(b) })
			runtime.Gosched()
			s.NIC().SetFilter(nil)
		}},
		{"up and down", Config{MTU: 3000}, tcp.Config{}, func(s *Stack, i int) {
			s.NIC().SetUp(false)
			runtime.Gosched()
			s.NIC().SetUp(true)
		}},
		{"connections are asked", Config{MTU: 3000}, tcp.Config{}, func(s *Stack, i int) {
			for _, e := range s.tcp.all() {
				if c, ok := e.(*TCPConn); ok {
					c.Info()
					c.SetWriteDeadline(time.Now().Add(time.Hour))
					c.SetReadDeadline(time.Time{})
				}
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := tt.cfg
				cfg.TCP = &tt.tcp
				s := New(cfg)
				var wg sync.WaitGroup
				var dialled, accepted [3]*TCPConn
				for i := range dialled {
					dialled[i], accepted[i] = ends(t, s, fmt.Sprintf("127.0.0.1:%d", 80+i))
				}
				stop, over := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(over)
					for i := 0; ; i++ {
						select {
						case <-stop:
							return
						default:
							tt.fire(s, i)
						}
						if i%50 == 49 {
							time.Sleep(time.Millisecond) // else no time passes
						} else {
							runtime.Gosched()
						}
					}
				}()
				for i := range dialled {
					wg.Go(func() { scribbler(t, dialled[i], uint64(i)) })
					wg.Go(func() { checker(t, accepted[i], uint64(i)) })
				}
				wg.Wait()
				close(stop)
				<-over
				for q := range s.receivers {
					for !s.nic.Ring(q) {
						runtime.Gosched()
					}
					r := &s.receivers[q]
					require.True(t, r.lender == nil && r.held == nil && r.borrower == nil, "who has lent has the baton, see pass")
					s.run(q, s.now(), false)
				}
				require.NoError(t, s.Close())
			})
		})
	}
}

// stream is what a connection of TestLoansUnderFire carries: the numbers of its words.
const streamWords = 200_000

// scribbler writes the stream in pieces of many sizes, and uses the memory again at once.
func scribbler(t *testing.T, c net.Conn, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	buf := make([]byte, 300_000)
	for at := 0; at < streamWords; {
		n := min(1+rng.IntN([]int{100, 9000, 37_000}[rng.IntN(3)]), streamWords-at)
		for i := range n {
			binary.LittleEndian.PutUint64(buf[8*i:], uint64(at+i))
		}
		at += n
		if _, err := c.Write(buf[:8*n]); err != nil {
			t.Error(err)
			return
		}
		clear(buf[:8*n])
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// checker reads the stream into buffers of many sizes: the second connection's a little at a time, the third's with its memory.
func checker(t *testing.T, a net.Conn, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	buf := make([]byte, 300_000)
	var in io.Reader = a
	switch seed {
	case 1:
		in = bufio.NewReaderSize(struct{ io.Reader }{a}, 4096)
	case 2:
		r, w := io.Pipe()
		go func() {
			_, err := a.(io.WriterTo).WriteTo(w)
			w.CloseWithError(err)
		}()
		in = r
	}
	for at := 0; at < streamWords; {
		n := min(1+rng.IntN([]int{100, 9000, 37_000}[rng.IntN(3)]), streamWords-at)
		if _, err := io.ReadFull(in, buf[:8*n]); err != nil {
			t.Error(at, err)
			return
		}
		for i := range n {
			if got := binary.LittleEndian.Uint64(buf[8*i:]); got != uint64(at+i) {
				t.Errorf("word %d is %d", at+i, got)
				return
			}
		}
		at += n
	}
	if n, err := in.Read(buf); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// TestLoanWithoutBaton: only packets of which the writer sees that they arrive refer to his buffer. Others, and the one for
// which the ring has no room, have copies.
func TestLoanWithoutBaton(t *testing.T) {
	for _, baton := range []bool{true, false} {
		t.Run(fmt.Sprint(baton), func(t *testing.T) {
			s := New(Config{RingSize: 2})
			c, a := ends(t, s, "127.0.0.1:80")
			text := bytes.Repeat([]byte("0123456789abcdef"), 3<<10) // three segments
			want := bytes.Clone(text)
			require.True(t, s.nic.Ring(0))
			c.mu.Lock()
			now := c.at(s.now())
			require.True(t, c.tcb.MayLend(len(text)))
			c.tcb.Lend(now, text, false, nil)
			c.node.baton = baton
			c.settle(now)
			c.node.baton = false
			require.Equal(t, baton, s.nic.Lent(0))
			require.NotNil(t, c.pending, "the ring is full")
			require.Zero(t, c.pending.Flags&device.FlagLent)
			require.NotNil(t, c.pending.Frags[0].Owner)
			s.receivers[0].lender = c
			c.mu.Unlock()
			s.run(0, now, false)
			require.Nil(t, s.receivers[0].lender)
			clear(text)
			got := make([]byte, len(want))
			_, err := io.ReadFull(a, got)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.NoError(t, s.Close())
		})
	}
}

// TestRunMeetsFullRing: a run for which the ring has no room goes on when there is some, and what waits is no longer lent.
func TestRunMeetsFullRing(t *testing.T) {
	s := New(Config{RingSize: 2, Queues: 1})
	c, a := ends(t, s, "127.0.0.1:80")
	warm(t, c, a)
	text := bytes.Repeat([]byte("0123456789abcdef"), 3<<10) // three segments
	want := bytes.Clone(text)
	require.True(t, s.nic.Ring(0))
	for range 2 {
		s.send(0, s.nic.NewPacket(0, true)) // nobody's
	}
	c.mu.Lock()
	for i := 0; !c.tcb.MayLend(len(text)); i++ {
		require.Less(t, i, 20, "shy no longer")
	}
	now := c.at(s.now())
	c.tcb.Lend(now, text, false, nil)
	require.True(t, c.tcb.LoneRun())
	c.sendRun(now, &s.receivers[0], text)
	require.NotNil(t, c.pending)
	require.Zero(t, c.pending.Flags&device.FlagLent)
	require.True(t, c.timer.set)
	c.tcb.EndLoan()
	c.mu.Unlock()
	clear(text)
	s.run(0, now, false)
	got := make([]byte, len(want))
	_, err := io.ReadFull(a, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
	require.NoError(t, s.Close())
}

// TestLoansGrow: who writes much to one who takes it in place lends more at a time, which needs fewer ACKs; not if he
// takes less, or does not wait.
func TestLoansGrow(t *testing.T) {
	OnProcessors(t, 1) // so that the reader is back when the next loan is given
	const n = 1 << 20
	for _, tt := range []struct {
		name string
		room int // of the reader
		loan int // how much is lent at a time in the end
		acks int // how many there are for a MiB then; 0: as many as for text that waits in the queue
	}{
		{"as much as is written", n, mostLoanAlone, n / mostLoanAlone},
		{"a burst", writeBurst, writeBurst, n / writeBurst},
		{"a piece", writePiece, writePiece, n / writePiece},
		{"a little more", writePiece + 1, writePiece, n / writePiece},
		{"less", 40_000, writePiece, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJoiner(t, "127.0.0.1:80", 2) // with wide windows
				require.True(t, j.s.nic.Rest(0))
				text := make([]byte, n)
				rand.NewChaCha8([32]byte{2}).Read(text)
				var acks int
				for range 8 {
					got := make(chan []byte)
					go func() {
						buf, all := make([]byte, tt.room), []byte{}
						for len(all) < n {
							k, err := j.a.Read(buf)
							if err != nil {
								break
							}
							all = append(all, buf[:k]...)
						}
						got <- all
					}()
					synctest.Wait()
					before := j.s.nic.Counters().TX.Packets
					_, err := j.c.Write(text)
					require.NoError(t, err)
					require.True(t, bytes.Equal(text, <-got))
					synctest.Wait()
					acks = int(j.s.nic.Counters().TX.Packets-before) - n/j.c.tcb.SendMSS()
					time.Sleep(time.Millisecond)
				}
				require.Equal(t, tt.loan, j.c.tcb.LoanSize(writePiece))
				if tt.acks != 0 {
					require.Equal(t, tt.acks, acks)
				}
				j.c.lock()
				j.c.tcb.EndLoan()
				for range 2 { // loans that are for nothing, and so none for a while
					j.c.tcb.Lend(j.c.at(j.s.now()), text[:64<<10], false, nil)
					j.c.tcb.EndLoan()
				}
				j.c.mu.Unlock()
				go func() { _, _ = io.Copy(io.Discard, j.a) }()
				_, err := j.c.Write(text)
				require.NoError(t, err)
				require.Equal(t, writePiece, j.c.tcb.LoanSize(writePiece))
				require.NoError(t, j.s.Close())
			})
		})
	}
}

// warm has c and a carry so much that the windows are wide, and loans are given.
func warm(t *testing.T, c, a *TCPConn) {
	t.Helper()
	const n = 64 << 10
	done := make(chan error)
	go func() {
		_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(a, 40*n), make([]byte, n))
		done <- err
	}()
	for range 40 {
		_, err := c.Write(make([]byte, n))
		require.NoError(t, err)
	}
	require.NoError(t, <-done)
}

// TestLostRun: a run that is lost is sent again when its timer expires.
func TestLostRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		c, a := ends(t, s, "127.0.0.1:80")
		require.NoError(t, c.SetKeepAlive(false))
		warm(t, c, a)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, never, c.tcb.Deadline())
		lost := 0
		s.nic.SetFilter(func(b []byte) int {
			if len(b) < 1000 || lost == 3 {
				return 1
			}
			lost++
			return 0
		})
		text := bytes.Repeat([]byte("0123456789abcdef"), 3<<10)
		c.lock()
		for i := 0; !c.tcb.MayLend(len(text)); i++ {
			require.Less(t, i, 20, "shy no longer")
		}
		c.mu.Unlock()
		start := time.Now()
		go func() { _, _ = c.Write(text) }()
		got := make([]byte, len(text))
		_, err := io.ReadFull(a, got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, got))
		require.Equal(t, 3, lost)
		require.Less(t, time.Since(start), time.Second)
		require.NoError(t, s.Close())
	})
}

// TestForgedAckEndsNoLoan: a loan is not over before its packets have arrived, whatever anybody acknowledges.
func TestForgedAckEndsNoLoan(t *testing.T) {
	s := New(Config{Queues: 1})
	c, a := ends(t, s, "127.0.0.1:80")
	warm(t, c, a)
	text := make([]byte, 48<<10)
	r := &s.receivers[0]
	require.True(t, s.nic.Ring(0))
	c.mu.Lock()
	require.True(t, c.tcb.MayLend(len(text)))
	now := c.at(s.now())
	c.tcb.Lend(now, text, false, nil)
	r.lender, c.node.baton = c, true
	c.settle(now)
	c.node.baton = false
	r.now = now
	require.True(t, s.nic.Lent(0))
	a.mu.Lock()
	ack := tcp.Segment{Flags: tcp.ACK, Wnd: 1000, Opts: tcp.Options{HasTS: true}}
	b := (*[tcp.TSHeaderLen]byte)(make([]byte, tcp.TSHeaderLen))
	a.tcb.SendAck(now, b, 0, nil) // for what the header says
	_, why := tcp.ParseHeader(b[:], &ack)
	require.Equal(t, tcp.ReasonOK, why)
	a.mu.Unlock()
	ack.Ack = ack.Ack.Add(uint32(len(text)))
	require.EqualValues(t, len(text), c.tcb.Unacked())
	c.mu.Unlock()
	c.receive(r, s.nic.NewPacket(0, true), &ack, &c.node.key)
	require.Zero(t, c.tcb.Unacked())
	require.Same(t, c, r.lender)
	s.run(0, now, false)
	require.Nil(t, r.lender)
	require.NoError(t, s.Close())
}
