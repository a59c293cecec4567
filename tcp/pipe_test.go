package tcp

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// transfer sends data from A to B (and back with both), reading all the time, and closes.
func (p *pipe) transfer(toB, toA []byte) (gotB, gotA []byte) {
	p.t.Helper()
	var sentA, sentB int
	buf := make([]byte, 64<<10)
	closedA, closedB := false, false
	pump := func() {
		if sentA < len(toB) {
			sentA += p.a.Write(p.now, toB[sentA:])
		} else if !closedA {
			closedA = true
			require.NoError(p.t, p.a.CloseWrite(p.now))
		}
		if sentB < len(toA) {
			sentB += p.b.Write(p.now, toA[sentB:])
		} else if !closedB {
			closedB = true
			require.NoError(p.t, p.b.CloseWrite(p.now))
		}
		for n := p.b.Read(p.now, buf); n > 0; n = p.b.Read(p.now, buf) {
			gotB = append(gotB, buf[:n]...)
		}
		for n := p.a.Read(p.now, buf); n > 0; n = p.a.Read(p.now, buf) {
			gotA = append(gotA, buf[:n]...)
		}
		p.drain()
	}
	pump()
	p.run(func() bool {
		pump()
		return p.a.ReadEOF() && p.b.ReadEOF() && !p.a.State().in(1<<StateFinWait1|1<<StateClosing|1<<StateLastAck) && !p.b.State().in(1<<StateFinWait1|1<<StateClosing|1<<StateLastAck)
	})
	return gotB, gotA
}

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	c := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = c.Read(b)
	return b
}

func TestPipeLossless(t *testing.T) {
	for _, mtu := range []int{576, 1500, 16436, 65535} {
		t.Run(fmt.Sprint("mtu ", mtu), func(t *testing.T) {
			p := newPipe(t)
			p.mtu = mtu
			p.connect()
			in := randomBytes(1, 1<<20)
			gotB, gotA := p.transfer(in, in[:100000])
			require.Equal(t, sha256.Sum256(in), sha256.Sum256(gotB), p.log())
			require.Equal(t, sha256.Sum256(in[:100000]), sha256.Sum256(gotA))
			require.Zero(t, p.stats.RetransSegs.Load(), p.log())
			p.finish()
		})
	}
}

// finish lets TIME-WAIT pass and checks that all memory came back.
func (p *pipe) finish() {
	p.t.Helper()
	p.run(func() bool { return false })
	require.Equal(p.t, StateClosed, p.a.State(), p.log())
	require.Equal(p.t, StateClosed, p.b.State(), p.log())
	require.NoError(p.t, p.a.Err())
	require.NoError(p.t, p.b.Err())
	p.a.Release()
	p.b.Release()
	require.Zero(p.t, p.alloc.out, "buffers leaked")
}

func TestPipeImpaired(t *testing.T) {
	seeds := 40
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			p := newPipe(t)
			switch seed % 4 {
			case 1:
				p.cfgB = (&Config{SACK: Off}).Defaults()
			case 2:
				p.cfgB = (&Config{Timestamps: Off}).Defaults()
			case 3:
				p.cfgA = (&Config{CongestionControl: "reno"}).Defaults()
			}
			p.rng = rand.New(rand.NewPCG(uint64(seed), 1))
			p.drop, p.dup, p.reord = 0.10, 0.05, 0.05 // lost, and corrupted, which is lost too
			p.jitter = 30 * time.Millisecond
			p.a.Connect(p.now, p.params(hostA, hostB, p.cfgA, 0xfffffff0))
			p.drain()
			p.run(func() bool { return p.a.State() == StateEstablished && p.b.State() == StateEstablished })
			in := randomBytes(uint64(seed), 1<<20)
			gotB, gotA := p.transfer(in, in[:200000])
			require.Equal(t, sha256.Sum256(in), sha256.Sum256(gotB), p.log())
			require.Equal(t, sha256.Sum256(in[:200000]), sha256.Sum256(gotA), p.log())
		})
	}
}
