package sim_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

// FuzzWorld reads its input as a program of three hosts that dial, write, read, close, crash and are cut off, on a bad link. However it
// goes, a World ends in time, accounts for every packet, delivers streams that are prefixes of what was written, and does the very same when it is run again.
func FuzzWorld(f *testing.F) {
	f.Add(uint64(1), []byte("\x00\x01\x12\x23\x34\x05"))
	f.Add(uint64(2), []byte("0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Add(uint64(3), []byte{0x00, 0x80, 0x01, 0xff, 0x06, 0x05, 0x08, 0x02, 0x07, 0x05, 0x01, 0x02, 0x04})
	f.Fuzz(func(t *testing.T, seed uint64, program []byte) {
		if len(program) > 200 {
			return
		}
		first := fuzzWorld(t, seed, program)
		require.Equal(t, first, fuzzWorld(t, seed, program))
	})
}

// fuzzWorld runs one program and returns what can be seen of it.
func fuzzWorld(t *testing.T, seed uint64, program []byte) string {
	w, err := sim.NewWorld(sim.NetConfig{Seed: seed})
	require.NoError(t, err)
	w.MaxEvents = 1_000_000
	p := &fuzzProgram{t: t, w: w}
	for i := range p.hosts {
		p.hosts[i] = w.Host(fmt.Sprint("h", i))
		p.serve(p.hosts[i])
	}
	for i, a := range p.hosts {
		w.Link(a, p.hosts[(i+1)%len(p.hosts)], impairedLink)
	}
	main := w.Go("program", func() {
		for i, op := range program {
			p.do(i, op)
		}
	})
	require.NoError(t, main.Wait())
	require.NoError(t, w.Run(w.Now()+5*time.Minute))
	require.True(t, w.Impaired().Stats().Balanced())
	seen := fmt.Sprintf("%x, %d events, now %v, read %d", w.Recording().Hash(), w.Events(), w.Now(), p.read)
	require.NoError(t, w.Close())
	return seen
}

type fuzzProgram struct {
	t     *testing.T
	w     *sim.World
	hosts [3]*sim.Host
	conns []net.Conn
	read  int
}

// serve counts: the k-th byte of every stream is k.
func (p *fuzzProgram) serve(h *sim.Host) {
	l, err := h.Listen("tcp", ":80")
	require.NoError(p.t, err)
	p.w.Go(h.Name(), func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.w.Go("reader at "+h.Name(), func() {
				defer c.Close()
				p.drain(c, time.Minute)
			})
		}
	})
}

// drain reads for a while.
func (p *fuzzProgram) drain(c net.Conn, d time.Duration) {
	_ = c.SetReadDeadline(p.w.Time().Add(d)) // fails on one that is closed, as Read will
	b := make([]byte, 500)
	for at := 0; ; {
		n, err := c.Read(b)
		for _, x := range b[:n] {
			require.Equal(p.t, byte(at), x)
			at++
		}
		p.read += n
		if err != nil {
			return
		}
	}
}

// do is one step of the program: the low digit says what, the high one with what.
func (p *fuzzProgram) do(i int, op byte) {
	h, arg := p.hosts[int(op>>4)%3], int(op>>4)
	var c *countingConn
	if len(p.conns) > 0 {
		c, _ = p.conns[arg%len(p.conns)].(*countingConn)
	}
	switch op & 0xf {
	case 0, 9, 10:
		ctx, cancel := p.w.WithTimeout(p.t.Context(), time.Minute)
		defer cancel()
		if c, err := h.DialContext(ctx, "tcp", fmt.Sprintf("h%d:80", (arg+i)%3)); err == nil {
			p.conns = append(p.conns, &countingConn{Conn: c})
		}
	case 1, 11, 12:
		if c != nil {
			_ = c.SetWriteDeadline(p.w.Time().Add(time.Second))
			c.count(1 + 137*arg*arg)
		}
	case 2:
		if c != nil {
			c.Close()
		}
	case 3:
		p.w.Sleep(time.Duration(arg*arg) * time.Millisecond)
	case 4:
		if c != nil {
			p.drain(c, time.Second)
		}
	case 5:
		p.w.Heal()
	case 6:
		p.w.Partition(h)
	case 7:
		p.w.At(time.Duration(arg)*time.Second, func() {
			if h.Restart(); arg > 7 {
				p.w.Go("again", func() { p.again(h) })
			}
		})
	case 8:
		h.Crash()
	default:
		p.w.Go("sleeper", func() { p.w.Sleep(time.Duration(arg) * time.Second) })
	}
}

// again listens on a host that has been down.
func (p *fuzzProgram) again(h *sim.Host) {
	if l, err := h.Listen("tcp", ":80"); err == nil {
		l.Close()
		p.serve(h)
	}
}

// countingConn writes 0, 1, 2 …
type countingConn struct {
	net.Conn
	at byte
}

func (c *countingConn) count(n int) {
	b := make([]byte, n)
	for i := range b {
		b[i] = c.at + byte(i)
	}
	done, err := c.Write(b)
	c.at += byte(done)
	if err != nil && err != io.EOF {
		c.Close() // what follows would have a hole before it
	}
}
