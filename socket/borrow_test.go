package socket

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/tcp"
)

// lends is a connection on which c has long written to a, and knows what its reader has borrowed.
type lends struct {
	s        *Stack
	c, a     *TCPConn
	borrowed int // packets
	held     int
	after    func() // each that was lent
}

func newLends(t *testing.T) *lends {
	wide := tcp.Config{Rmem: [3]int{4096, 1 << 20, 6 << 20}} // from the start: where no time passes the buffer does not grow
	l := &lends{s: New(Config{Queues: 1, TCP: &wide}), after: func() {}}
	l.s.pool.Audit = true
	l.c, l.a = ends(t, l.s, "127.0.0.1:80")
	warm(t, l.c, l.a)
	l.c.lock()
	l.c.burst = 0 // he has just let others run
	for i := 0; !l.c.tcb.MayLend(lendSize); i++ {
		require.Less(t, i, 20, "shy no longer")
	}
	l.c.mu.Unlock()
	for !l.s.nic.Ring(0) {
		runtime.Gosched()
	}
	r := &l.s.receivers[0]
	handle := r.handle
	r.handle = func(p *device.Packet) {
		lent := p.Flags&device.FlagLent != 0
		handle(p)
		if lent && r.borrower == l.a {
			l.borrowed++
		}
		if lent && r.held == l.a {
			l.held++
		}
		if lent {
			l.after()
		}
	}
	l.s.run(0, l.s.now(), false)
	return l
}

const lendSize = 64 << 10

// write writes the nth text and scribbles over it.
func (l *lends) write(t *testing.T, n int) {
	t.Helper()
	text := bytes.Repeat([]byte{byte(n)}, lendSize)
	k, err := l.c.Write(text)
	require.NoError(t, err)
	require.Equal(t, lendSize, k)
	clear(text)
}

// runs is how often the reader has gone on, modulo 256.
func (l *lends) runs() uint8 {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	return l.a.rd.runs
}

// waiting is how many readers wait.
func (l *lends) waiting() int32 {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	return l.a.rd.waiting
}

// toldToGoOn reports whether the reader has yet to go on.
func (l *lends) toldToGoOn() bool {
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	return l.a.rd.woken
}

// TestTwoWritesASwitch: of two texts the reader has one in his buffer when he goes on, and borrows the other.
func TestTwoWritesASwitch(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			OnProcessors(t, procs)
			l := newLends(t)
			const writes = 100
			done := make(chan error, 1)
			go func() {
				buf := make([]byte, lendSize)
				for n := range writes {
					if _, err := io.ReadFull(l.a, buf); err != nil || bytes.Count(buf, []byte{byte(n)}) != len(buf) {
						done <- fmt.Errorf("text %d: %w", n, err)
						return
					}
				}
				done <- nil
			}()
			runtime.Gosched()
			runs := uint8(0)
			for n := range writes {
				if n == 10 { // it is how it will be
					runs, l.borrowed = l.runs(), 0
				}
				was := l.borrowed
				l.write(t, n)
				if l.borrowed != was {
					require.False(t, l.toldToGoOn(), "the reader has had the chance")
				}
			}
			require.NoError(t, <-done)
			if procs == 1 {
				require.InDelta(t, (writes-10)/2, l.runs()-runs, 3)
				require.GreaterOrEqual(t, l.borrowed, (writes-10)/2-3)
			}
			require.NoError(t, l.c.Close())
			require.NoError(t, l.a.Close())
			require.NoError(t, l.s.Close())
		})
	}
}

// TestBorrowedUntilWriteReturns: what the reader has not come for when his turn was over is TCP's own, whatever he does instead.
func TestBorrowedUntilWriteReturns(t *testing.T) {
	for _, tt := range []struct {
		name string
		does func(a *TCPConn) (got []byte, err error) // before he waits for both writes to be over
		ends bool                                     // and that is all he reads
	}{
		{"something else", func(a *TCPConn) ([]byte, error) { return nil, nil }, false},
		{"reads a little", func(a *TCPConn) ([]byte, error) {
			p := make([]byte, 1000)
			n, err := io.ReadFull(a, p)
			return p[:n], err
		}, false},
		{"waits with a deadline that is over", func(a *TCPConn) ([]byte, error) {
			if err := a.SetReadDeadline(time.Unix(1, 0)); err != nil {
				return nil, err
			}
			if _, err := a.Read(make([]byte, 1)); err == nil || !os.IsTimeout(err) {
				return nil, fmt.Errorf("a timeout was to be: %w", err)
			}
			return nil, a.SetReadDeadline(time.Time{})
		}, false},
		{"closes", func(a *TCPConn) ([]byte, error) { return nil, a.Close() }, true},
		{"shuts the reading side", func(a *TCPConn) ([]byte, error) { return nil, a.CloseRead() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			OnProcessors(t, 1)
			synctest.Test(t, func(t *testing.T) {
				l := newLends(t)
				over, done := make(chan struct{}), make(chan error, 1)
				var got []byte
				go func() {
					buf := make([]byte, lendSize)
					_, err := l.a.Read(buf)
					got = buf
					if err == nil {
						var more []byte
						more, err = tt.does(l.a)
						got = append(got, more...)
					}
					<-over
					if err == nil && !tt.ends {
						rest := make([]byte, 2*lendSize-len(got))
						var n int
						n, err = io.ReadFull(l.a, rest)
						got = append(got, rest[:n]...)
					}
					done <- err
				}()
				synctest.Wait()
				l.write(t, 1)
				l.write(t, 2)
				require.Equal(t, 2, l.borrowed)
				require.Nil(t, l.c.wr.borrower)
				close(over)
				require.NoError(t, <-done)
				want := append(bytes.Repeat([]byte{1}, lendSize), bytes.Repeat([]byte{2}, lendSize)...)
				if tt.ends {
					want = want[:lendSize]
				}
				require.True(t, bytes.Equal(want, got))
				_ = l.a.Close()
				require.NoError(t, l.c.Close())
				require.NoError(t, l.s.Close())
				require.Zero(t, l.s.pool.Stats().BufsOut)
			})
		})
	}
}

// TestBorrowedInPieces: a reader with less room than is lent comes for it in many calls, by whatever he reads.
func TestBorrowedInPieces(t *testing.T) {
	for _, tt := range []struct {
		name string
		copy func(w io.Writer, a *TCPConn) error
	}{
		{"small reads", func(w io.Writer, a *TCPConn) error {
			_, err := io.CopyBuffer(w, struct{ io.Reader }{a}, make([]byte, 4000))
			return err
		}},
		{"bufio", func(w io.Writer, a *TCPConn) error {
			_, err := bufio.NewReaderSize(struct{ io.Reader }{a}, 4096).WriteTo(w)
			return err
		}},
		{"WriteTo", func(w io.Writer, a *TCPConn) error {
			_, err := a.WriteTo(w)
			return err
		}},
	} {
		for _, procs := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s %d", tt.name, procs), func(t *testing.T) {
				OnProcessors(t, procs)
				l := newLends(t)
				var got bytes.Buffer
				const writes = 20
				got.Grow(writes * lendSize)
				done := make(chan error, 1)
				go func() { done <- tt.copy(struct{ io.Writer }{&got}, l.a) }()
				runtime.Gosched()
				for n := range writes {
					l.write(t, n)
				}
				require.NoError(t, l.c.Close())
				require.NoError(t, <-done)
				for n := range writes {
					require.Equal(t, lendSize, bytes.Count(got.Next(lendSize), []byte{byte(n)}), "text %d", n)
				}
				if procs == 1 {
					require.GreaterOrEqual(t, l.borrowed, writes)
				}
				require.NoError(t, l.a.Close())
				require.NoError(t, l.s.Close())
				require.Zero(t, l.s.pool.Stats().BufsOut)
			})
		}
	}
}

// TestBorrowedByTwo: two who wait are both told, for what one leaves.
func TestBorrowedByTwo(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			OnProcessors(t, procs)
			synctest.Test(t, func(t *testing.T) {
				l := newLends(t)
				got := make(chan int, 2)
				for range 2 {
					go func() {
						n, _ := io.ReadFull(l.a, make([]byte, lendSize/2))
						got <- n
					}()
				}
				for l.waiting() < 2 { // on one processor one rests, mostly, and the other has parked
					runtime.Gosched()
				}
				l.write(t, 1)
				require.Positive(t, l.borrowed)
				synctest.Wait()
				require.Len(t, got, 2)
				require.Equal(t, lendSize, <-got+<-got)
				require.NoError(t, l.s.Close())
			})
		})
	}
}

// TestBorrowerGoes: when the reader has gone before he is told, what was borrowed is copied at once.
func TestBorrowerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLends(t)
		gone := make(chan error, 1)
		go func() {
			_, err := l.a.Read(make([]byte, 1)) // no room
			gone <- err
		}()
		synctest.Wait()
		l.after = func() {
			if l.borrowed == 2 {
				l.after = func() {}
				require.NoError(t, l.a.SetReadDeadline(time.Unix(1, 0)))
				require.ErrorIs(t, <-gone, os.ErrDeadlineExceeded)
			}
		}
		l.write(t, 7)
		require.GreaterOrEqual(t, l.borrowed, 2)
		require.Nil(t, l.c.wr.borrower)
		require.NoError(t, l.a.SetReadDeadline(time.Time{}))
		got := make([]byte, lendSize)
		_, err := io.ReadFull(l.a, got)
		require.NoError(t, err)
		require.Equal(t, lendSize, bytes.Count(got, []byte{7}))
		require.NoError(t, l.s.Close())
	})
}

// TestBorrowedAndTaken: while a part is borrowed another comes as any text does, and one ACK for both ends the loan.
func TestBorrowedAndTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLends(t)
		got := make(chan error, 1)
		go func() {
			if _, err := io.ReadFull(l.a, make([]byte, 1)); err != nil { // no room for more
				got <- err
				return
			}
			time.Sleep(time.Second)
			text := make([]byte, lendSize-1)
			_, err := io.ReadFull(l.a, text)
			if err == nil && bytes.Count(text, []byte{9}) != len(text) {
				err = fmt.Errorf("the text is another")
			}
			got <- err
		}()
		synctest.Wait()
		l.after = func() {
			// Who has set something is out of the ordinary, and who wants more than there is acknowledges at once.
			require.NoError(t, l.a.set(func(t *tcp.TCB, _ time.Duration) { t.SetRcvLowat(2 * lendSize) }))
		}
		l.write(t, 9)
		require.Positive(t, l.borrowed)
		require.Nil(t, l.s.receivers[0].borrower)
		require.Nil(t, l.s.receivers[0].lender)
		require.NoError(t, <-got)
		require.NoError(t, l.s.Close())
	})
}

// TestFill: what goes to the buffer of one who waits, at once or later, lies there in order when he has it.
func TestFill(t *testing.T) {
	text := []byte("one two three four five")
	rest := text[4:] // what follows lies in the same memory
	for _, tt := range []struct {
		name string
		do   func(w *waiter)
		late string // before he is served
		want string
	}{
		{"at once", func(w *waiter) { w.fill(text[:4], false); w.fill(rest[:4], false) }, "", "one two "},
		{"later", func(w *waiter) { w.fill(text[:4], true); w.fill(rest[:4], true) }, "one two ", "one two "},
		{"not what follows", func(w *waiter) { w.fill(rest[:4], true); w.fill(text[:4], true) }, "one ", "two one "},
		{"of other memory", func(w *waiter) { w.fill(text[:4], true); w.fill([]byte("two "), true) }, "two ", "one two "},
		{"no memory follows", func(w *waiter) { w.fill(text[:4:4], true); w.fill(rest[:4], true) }, "two ", "one two "},
		{"first at once", func(w *waiter) { w.fill(text[:4], false); w.fill(rest[:4], true); w.fill(rest[4:10], true) }, "two three ", "one two three "},
		{"filled up between", func(w *waiter) {
			w.fill(text[:4], true)
			w.fillUp()
			w.fill(rest[:4], true)
			w.fillUp()
			w.fillUp()
		}, "", "one two "},
		{"by others behind", func(w *waiter) {
			w.fill(text[:4], true)
			q := waitq{w}
			q.filled(copy(q.into(), "and "))
			w.fill(rest[:4], true)
		}, "two ", "one and two "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, buf := new(waiter), make([]byte, 30)
			require.False(t, w.await(buf))
			tt.do(w)
			require.Equal(t, tt.late, string(w.late))
			require.Equal(t, len(buf)-len(tt.want), len((&waitq{w}).into()))
			require.Equal(t, len(tt.want), w.served())
			require.Equal(t, tt.want, string(buf[:len(tt.want)]))
			require.Nil(t, w.late, "nothing of the writer's is kept")
			require.False(t, w.await(buf))
			w.fillUp()
			require.Zero(t, w.served())
		})
	}
}

// TestFillMuch: what is copied in several calls is complete.
func TestFillMuch(t *testing.T) {
	text := make([]byte, 2*copyAtOnce+1000)
	rand.NewChaCha8([32]byte{1}).Read(text)
	w, buf := new(waiter), make([]byte, len(text)+1)
	w.await(buf)
	w.fill(text, true)
	require.Equal(t, len(text), w.served())
	require.True(t, bytes.Equal(text, buf[:len(text)]))
	require.Nil(t, w.late)
}

// TestHeldReaderGoes: who leaves while a writer moves text to his buffer has what has come so far, and the rest comes after it.
func TestHeldReaderGoes(t *testing.T) {
	for _, procs := range []int{1, 2} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			OnProcessors(t, procs)
			synctest.Test(t, func(t *testing.T) {
				l := newLends(t)
				buf, got := make([]byte, 4*lendSize), make(chan int)
				go func() {
					n, err := l.a.Read(buf)
					if err != nil {
						n = -1
					}
					got <- n
				}()
				synctest.Wait()
				n := 0
				l.after = func() {
					l.after = func() {}
					require.Equal(t, 1, l.held)
					require.NotEmpty(t, l.a.rd.late)
					require.NoError(t, l.a.SetReadDeadline(time.Unix(1, 0)))
					n = <-got
				}
				l.write(t, 7)
				require.Positive(t, n)
				require.Less(t, n, lendSize)
				require.NoError(t, l.a.SetReadDeadline(time.Time{}))
				_, err := io.ReadFull(l.a, buf[n:lendSize])
				require.NoError(t, err)
				require.Equal(t, lendSize, bytes.Count(buf, []byte{7}))
				require.NoError(t, l.s.Close())
			})
		})
	}
}

// TestLongWriteInOneRead: a reader with room for all of a long Write has it in one piece; but the writer does not fill
// whatever there is without letting others run.
func TestLongWriteInOneRead(t *testing.T) {
	OnProcessors(t, 1)
	l := newLends(t)
	const long = 1 << 20
	read := func(room int, ns chan<- int) {
		defer close(ns)
		buf := make([]byte, room)
		for {
			n, err := l.a.Read(buf)
			if err != nil {
				return
			}
			ns <- n
		}
	}
	ns := make(chan int, 1000)
	go read(8*long, ns)
	var most []int
	for _, size := range []int{long, long, long, long, 8 * long, 8 * long} {
		runtime.Gosched()
		_, err := l.c.Write(make([]byte, size))
		require.NoError(t, err)
		m := 0
		for size > 0 {
			n := <-ns
			m, size = max(m, n), size-n
		}
		most = append(most, m)
	}
	require.Equal(t, long, most[3])
	require.Greater(t, most[5], long)
	require.LessOrEqual(t, most[5], 3*longBurst, "not all; and sometimes the scheduler prefers who lets others run")
	for range 32 {
		_, err := l.c.Write(make([]byte, writeBurst/2))
		require.NoError(t, err)
	}
	require.NoError(t, l.c.Close())
	for n := range ns {
		require.LessOrEqual(t, n, 4*writeBurst, "of short writes")
	}
	require.NoError(t, l.s.Close())
}

// TestLongWriteLetsOthersRun: one who writes much that nobody waits for lets others run between.
func TestLongWriteLetsOthersRun(t *testing.T) {
	OnProcessors(t, 1)
	l := newLends(t)
	var ran atomic.Int32
	var stop atomic.Bool
	go func() {
		for ; !stop.Load(); ran.Add(1) {
			runtime.Gosched()
		}
	}()
	runtime.Gosched()
	ran.Store(0)
	_, err := l.c.Write(make([]byte, 2*writeBurst)) // as much as the window takes
	require.NoError(t, err)
	stop.Store(true)
	require.Positive(t, ran.Load())
	require.NoError(t, l.s.Close())
}
