package peer

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"example.com/loopback/device"
	"example.com/loopback/sim"
	"example.com/loopback/sim/goodput"
)

// recordGoodput, set to a number, makes TestGoodputOfKernel record the table of package goodput with that many
// connections a cell: all of them, or those that -run names. It takes about half an hour, of a machine that should have
// little else to do, or with chrt -f.
const recordGoodput = "LOOPBACK_RECORD_GOODPUT"

// fastCell is, in bits per second, what makes a processor sweat.
const fastCell = 15e6

// goodputFile is where package goodput's tests look for it.
const goodputFile = "../goodput/testdata/kernel.txt"

// TestGoodputOfKernel sends from one kernel to another over the paths of package goodput, in real time, through our own
// impaired links. How fast that was is not looked at but recorded, if that is asked for; else one short connection
// shows that it works.
func TestGoodputOfKernel(t *testing.T) {
	var runs int
	if _, err := fmt.Sscan(os.Getenv(recordGoodput), &runs); err != nil {
		c := goodput.Cell{Algorithm: "reno", Path: goodput.Path{Loss: 0.01, RTT: 4 * time.Millisecond}}
		r := newKernelPath(t, c, 1).measure(t, 50e3, 200e3)
		t.Logf("%v: %.2f Mbit/s, rtt %v", c, r.goodput/1e6, r.rtt)
		return
	}
	cells := slices.DeleteFunc(goodput.Cells(), func(c goodput.Cell) bool { return !c.Linux() })
	results := make([][]kernelResult, len(cells))
	measure := func(i int) {
		warm, counted := cells[i].Bytes()
		for n := range runs {
			t.Run(cells[i].String(), func(t *testing.T) { // nothing of one connection is there during the next
				r := newKernelPath(t, cells[i], uint64(n+1)).measure(t, warm, counted)
				t.Logf("%.3f Mbit/s, rtt %v", r.goodput/1e6, r.rtt)
				results[i] = append(results[i], r)
			})
		}
	}
	// Fast connections go one at a time and alone, the others eight at once: none may want for a processor.
	var slow sync.WaitGroup
	turns := make(chan struct{}, 8)
	for i, c := range cells {
		if c.Formula() > fastCell {
			measure(i)
		}
	}
	for i, c := range cells {
		if c.Formula() <= fastCell {
			slow.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				measure(i)
			})
		}
	}
	slow.Wait()
	writeKernelTable(t, runs, cells, results)
}

func writeKernelTable(t *testing.T, runs int, cells []goodput.Cell, results [][]kernelResult) {
	t.Helper()
	var name unix.Utsname
	require.NoError(t, unix.Uname(&name))
	var b strings.Builder
	release, _, _ := strings.Cut(unix.ByteSliceToString(name.Release[:]), "-") // without what a distribution calls it
	fmt.Fprintf(&b, "# Goodput of Linux %s in Mbit/s, sender and receiver, over TUN devices through package sim's link.\n", release)
	fmt.Fprintf(&b, "# Recorded on %s by: %s=%d go test ./sim/peer -run TestGoodputOfKernel -timeout 2h (%d cores)\n",
		time.Now().UTC().Format(time.DateOnly), recordGoodput, runs, runtime.NumCPU())
	b.WriteString("# algorithm, RTT, loss: goodput of each connection in order of size; least RTT that TCP saw\n")
	old, _ := os.ReadFile(goodputFile) // of the cells that -run leaves out
	for i, c := range cells {
		if len(results[i]) == 0 {
			for line := range strings.Lines(string(old)) {
				if strings.HasPrefix(line, c.String()+":") {
					b.WriteString(line)
				}
			}
			continue
		}
		slices.SortFunc(results[i], func(a, b kernelResult) int { return cmp.Compare(a.goodput, b.goodput) })
		fmt.Fprintf(&b, "%v:", c)
		least := results[i][0].rtt
		for _, r := range results[i] {
			fmt.Fprintf(&b, " %.3f", r.goodput/1e6)
			least = min(least, r.rtt)
		}
		fmt.Fprintf(&b, "; %v\n", least)
	}
	require.NoError(t, os.WriteFile(goodputFile, []byte(b.String()), 0o666))
}

// A kernelPath is two kernels with a path of package goodput between them.
type kernelPath struct {
	*lab
	c goodput.Cell
}

type kernelResult struct {
	goodput float64       // bits per second
	rtt     time.Duration // the least that the sender saw
}

func newKernelPath(t *testing.T, c goodput.Cell, seed uint64) *kernelPath {
	t.Helper()
	l := &lab{t: t}
	var ends [2]end
	l.a, ends[0] = newHost(t, "kernel", addrA)
	l.b, ends[1] = newHost(t, "kernel", addrB)
	pace := newPacemaker(t, c.RTT)
	for i, m := range []sim.Impairment{c.Forth(), c.Back()} {
		ends[i] = newRelay(ends[i], func(inner device.Link) device.Link {
			link, err := sim.NewImpaired(sim.ImpairConfig{Seed: seed, Log: -1, Inner: inner, Scheduler: pace, Rules: []sim.Rule{{Impairment: m}}})
			require.NoError(t, err)
			return link
		})
	}
	for _, h := range []host{l.a, l.b} {
		h.(*kernel).set("ipv4/tcp_no_metrics_save", "1")
	}
	// A wire would remember what passes: these have nothing to look back at.
	ends[0].plug(func(raw []byte) { ends[1].deliver(raw) })
	ends[1].plug(func(raw []byte) { ends[0].deliver(raw) })
	ends[0].start()
	ends[1].start()
	return &kernelPath{lab: l, c: c}
}

// measure sends over one connection, and takes the time of the counted bytes, which come after warm ones.
func (p *kernelPath) measure(t *testing.T, warm, counted int64) kernelResult {
	t.Helper()
	listener, err := p.b.listen("tcp", netip.AddrPortFrom(addrB[4], 0))
	require.NoError(t, err)
	defer listener.Close()
	var from net.Conn
	require.NoError(t, p.a.(*kernel).do(func() (err error) {
		d := net.Dialer{Timeout: time.Minute, KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
			return setAlgorithm(c, p.c.Algorithm)
		}}
		from, err = d.Dial("tcp", listener.Addr().String())
		return err
	}))
	defer from.Close()
	to, err := listener.Accept()
	require.NoError(t, err)
	defer to.Close()
	go func() {
		_, _ = io.CopyN(from, zeros{}, warm+counted) // what is missing is missed below
	}()
	require.NoError(t, to.SetReadDeadline(time.Now().Add(20*time.Minute)))
	_, err = io.CopyN(io.Discard, struct{ io.Reader }{to}, warm)
	require.NoError(t, err)
	began := time.Now()
	_, err = io.CopyN(io.Discard, struct{ io.Reader }{to}, counted)
	require.NoError(t, err)
	return kernelResult{float64(counted) * 8 / time.Since(began).Seconds(), minRTT(t, from)}
}

// A pacemaker is a Scheduler in real time, more exact than the timers of package time, which in a process that also
// waits for files may be a millisecond late: as long as the shortest path is.
type pacemaker struct {
	q     sim.Queue
	began time.Time
}

func (p *pacemaker) Now() time.Duration { return time.Since(p.began) }

func (p *pacemaker) At(due time.Duration, key sim.Key, f func()) { p.q.At(due, key, f) }

// newPacemaker returns one that runs until the test ends, for a path of the given RTT.
func newPacemaker(t *testing.T, rtt time.Duration) *pacemaker {
	p := &pacemaker{began: time.Now()}
	pause := unix.NsecToTimespec(int64(min(rtt/40, 500*time.Microsecond)))
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-done
	})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread's timer slack is not for others
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
		for {
			select {
			case <-stop:
				return
			default:
			}
			p.q.Run(p.Now())
			_ = unix.Nanosleep(&pause, nil)
		}
	}()
	return p
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func setAlgorithm(c syscall.RawConn, name string) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	})
	return cmp.Or(err, failed)
}

// minRTT is tcpi_min_rtt.
func minRTT(t *testing.T, c net.Conn) (rtt time.Duration) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var failed error
	err = raw.Control(func(fd uintptr) {
		var i *unix.TCPInfo
		if i, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); failed == nil {
			rtt = time.Duration(i.Min_rtt) * time.Microsecond
		}
	})
	require.NoError(t, cmp.Or(err, failed))
	return rtt
}
