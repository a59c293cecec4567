package sim_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/socket"
	"example.com/loopback/tcp"
)

// inWorld runs f with a World in a bubble of testing/synctest, which sees to it that no goroutine is left when it is closed, and
// whose time the World's patience is of.
func inWorld(t *testing.T, f func(t *testing.T, w *sim.World)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
		require.NoError(t, err)
		defer w.Close()
		f(t, w)
	})
}

// worldPair is a connection from host client to host server.
func worldPair(t *testing.T, w *sim.World) (client, server net.Conn) {
	t.Helper()
	l, err := w.Host("server").Listen("tcp", ":80")
	require.NoError(t, err)
	defer l.Close()
	client, err = w.Host("client").Dial("tcp", "server:80")
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	return client, server
}

// notes is a log of what happened when.
type notes struct {
	w   *sim.World
	all []string
}

func (n *notes) add(s string) { n.all = append(n.all, fmt.Sprint(n.w.Now(), " ", s)) }

// Coroutines begin in the order of their making and each at its own instant, run one at a time, and wake when it is time.
func TestWorldOrder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		n := &notes{w: w}
		for _, name := range []string{"a", "b"} {
			w.Go(name, func() {
				n.add(name + " begins")
				w.Sleep(time.Second)
				n.add(name + " goes on")
				w.Go("child of "+name, func() { n.add("child of " + name) })
				w.Sleep(0)
				n.add(name + " ends")
			})
		}
		w.At(time.Second, func() { n.add("planned") })
		require.Empty(t, n.all, "nothing happens until the World is driven")
		require.NoError(t, w.Run(500*time.Millisecond))
		require.Equal(t, 500*time.Millisecond, w.Now())
		require.Equal(t, sim.Epoch.Add(w.Now()), w.Time())
		require.NoError(t, w.Run(sim.Never))
		require.Equal(t, []string{
			"0s a begins", "1ns b begins",
			"1s planned", "1.000000001s a goes on", "1.000000002s child of a", "1.000000003s a ends",
			"1.000000004s b goes on", "1.000000005s child of b", "1.000000006s b ends",
		}, n.all)
		require.Equal(t, time.Second+6, w.Now(), "time stays where the last event left it")
		require.EqualValues(t, 9, w.Events())
	})
}

// The goroutine that drives the World may wait for sockets, and so may coroutines.
func TestWorldEcho(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		server, client := w.Host("server"), w.Host("client")
		w.Link(client, server, sim.Impairment{Delay: 20 * time.Millisecond})
		l, err := server.Listen("tcp", ":80")
		require.NoError(t, err)
		w.Go("server", func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				w.Go("echo", func() {
					defer c.Close()
					io.Copy(c, c)
				})
			}
		})
		var all []*sim.Coroutine
		for i := range 5 {
			all = append(all, w.Go(fmt.Sprint("client ", i), func() {
				c, err := client.Dial("tcp", "server:80")
				require.NoError(t, err)
				defer c.Close()
				_, err = fmt.Fprint(c, "hello ", i)
				require.NoError(t, err)
				require.NoError(t, c.(*socket.TCPConn).CloseWrite())
				b, err := io.ReadAll(c)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint("hello ", i), string(b))
			}))
		}
		c, err := client.Dial("tcp", "server:80")
		require.NoError(t, err)
		require.InDelta(t, 40, w.Now().Milliseconds(), 1)
		_, err = io.WriteString(c, "me, too")
		require.NoError(t, err)
		b := make([]byte, 7)
		_, err = io.ReadFull(c, b)
		require.NoError(t, err)
		require.Equal(t, "me, too", string(b))
		require.NoError(t, c.Close())
		for _, co := range all {
			require.NoError(t, co.Wait())
			require.True(t, co.Ended())
		}
	})
}

// Deadlines are of the World's time.
func TestWorldDeadlines(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		c, s := worldPair(t, w)
		co := w.Go("reader", func() {
			require.NoError(t, s.SetReadDeadline(w.Time().Add(time.Hour)))
			start := w.Now()
			_, err := s.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, time.Hour, (w.Now() - start).Round(time.Microsecond))
		})
		require.NoError(t, co.Wait())
		require.NoError(t, c.SetReadDeadline(w.Time().Add(-1)))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

// Datagrams, partitions, crashes and what is planned are those of Net.
func TestWorldFaults(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		a, b := w.Host("a"), w.Host("b")
		x, err := a.ListenPacket("udp", ":9")
		require.NoError(t, err)
		y, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		arrives := func() bool {
			_, err := x.WriteTo([]byte("x"), y.LocalAddr())
			require.NoError(t, err)
			require.NoError(t, y.SetReadDeadline(w.Time().Add(time.Second)))
			_, _, err = y.ReadFrom(make([]byte, 9))
			return err == nil
		}
		require.True(t, arrives())
		w.Partition(a, b)
		require.False(t, arrives())
		w.At(time.Minute, w.Heal)
		w.Sleep(time.Minute + 1)
		require.True(t, arrives())

		c, s := worldPair(t, w)
		waits := w.Go("waits", func() {
			_, err := s.Read(make([]byte, 1))
			require.ErrorIs(t, err, net.ErrClosed)
		})
		require.NoError(t, w.Run(w.Now()+time.Second))
		w.Host("server").Crash()
		require.NoError(t, waits.Wait())
		_, err = io.WriteString(c, "anybody?")
		require.NoError(t, err)
		require.NoError(t, w.Run(w.Now()+10*time.Second))
		w.Host("server").Restart()
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

// A coroutine that panics stops the World, and the one that drives it hears of it at once.
func TestWorldPanic(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		c, _ := worldPair(t, w)
		mistake := errors.New("a mistake")
		w.Go("innocent", func() { w.Sleep(time.Hour) })
		w.Go("guilty", func() {
			w.Sleep(time.Second)
			panic(mistake)
		})
		caught := func(f func()) (p any) {
			defer func() { p = recover() }()
			f()
			return nil
		}
		e, ok := caught(func() { c.Read(make([]byte, 1)) }).(*sim.PanicError)
		require.True(t, ok)
		require.Equal(t, "guilty", e.Name)
		require.ErrorIs(t, e, mistake)
		require.Contains(t, e.Stack, "TestWorldPanic")
		require.Contains(t, e.Error(), `coroutine "guilty": panic: a mistake`)
		require.Equal(t, e, w.Err())
		require.Equal(t, e, w.Run(sim.Never), "it has stopped")
		_, ok = w.Step()
		require.False(t, ok)
		require.NoError(t, c.Close(), "its lock was given up")
	})
}

// One that calls runtime.Goexit, as t.FailNow does, ends who drives.
func TestWorldExit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		inner := new(testing.T)
		after := false
		w.Go("fails", func() {
			w.Sleep(time.Second)
			inner.FailNow()
		})
		done := make(chan bool)
		go func() {
			defer close(done)
			w.Run(sim.Never)
			after = true
		}()
		<-done
		require.False(t, after)
		require.True(t, inner.Failed())
		var e *sim.ExitError
		require.ErrorAs(t, w.Err(), &e)
		require.Equal(t, "fails", e.Name)
		require.Contains(t, e.Error(), "fails")
	})
}

// Nobody will ever do anything: the World says who waits where, and can be used on.
func TestWorldDeadlock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		c, s := worldPair(t, w)
		for _, c := range []net.Conn{c, s} {
			require.NoError(t, c.(*socket.TCPConn).SetKeepAlive(false))
		}
		waits := w.Go("for Godot", func() { s.Read(make([]byte, 1)) })
		require.NoError(t, w.Run(sim.Never), "servers wait, and that is all right")
		var e *sim.DeadlockError
		require.ErrorAs(t, waits.Wait(), &e)
		require.Len(t, e.Waiting, 1)
		require.Equal(t, "for Godot", e.Waiting[0].Name)
		require.Contains(t, e.Waiting[0].Stack, "TCPConn).Read")
		require.Contains(t, e.Error(), "for Godot")
		func() {
			defer func() {
				_, ok := recover().(*sim.DeadlockError)
				require.True(t, ok)
			}()
			c.Read(make([]byte, 1))
		}()
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, waits.Wait())
		require.NoError(t, w.Err())
	})
}

// What coroutines wait for that is not the World's is reported.
func TestWorldBlocked(t *testing.T) {
	var mu sync.Mutex
	mu.Lock()
	for _, x := range []struct {
		name, state string
		wait        func()
	}{
		{"channel", "chan receive", func() { <-make(chan bool) }},
		{"select", "select", func() {
			select {
			case <-make(chan bool):
			case make(chan bool) <- true:
			}
		}},
		{"wait group", "sync.WaitGroup.Wait", func() {
			var wg sync.WaitGroup
			wg.Add(1)
			wg.Wait()
		}},
		{"sync.Cond", "sync.Cond.Wait", func() {
			c := sync.NewCond(new(sync.Mutex))
			c.L.Lock()
			c.Wait()
		}},
	} {
		t.Run(x.name, func(t *testing.T) { testBlocked(t, x.state, x.wait) })
	}
}

func testBlocked(t *testing.T, state string, wait func()) {
	w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
	require.NoError(t, err)
	w.Patience = 20 * time.Millisecond
	clean := false
	w.Go("other", func() {
		defer func() { clean = true }()
		w.Sleep(time.Hour)
	})
	w.Go("stuck", wait)
	var e *sim.BlockedError
	require.ErrorAs(t, w.Run(sim.Never), &e)
	require.Equal(t, "stuck", e.Name)
	first, _, _ := strings.Cut(e.Stack, "\n")
	require.Contains(t, first, state)
	require.Contains(t, e.Stack, "TestWorldBlocked")
	require.Contains(t, e.Error(), `coroutine "stuck" has waited`)
	require.GreaterOrEqual(t, e.After, w.Patience)
	require.Equal(t, e, w.Err())
	require.Equal(t, e, w.Close())
	require.False(t, clean, "it stopped at once: others are left where they were")
}

// A kernel's socket and a mutex, which no bubble knows of, and what comes back after it was given up.
func TestWorldBlockedForAWhile(t *testing.T) {
	kernel, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var mu sync.Mutex
	for _, x := range []struct {
		name, state string
		wait, end   func()
	}{
		{"kernel", "IO wait", func() { kernel.Accept() }, func() { kernel.Close() }},
		{"mutex", "sync.Mutex.Lock", mu.Lock, mu.Unlock},
	} {
		t.Run(x.name, func(t *testing.T) {
			w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
			require.NoError(t, err)
			w.Patience = 20 * time.Millisecond
			mu.TryLock()
			gone := make(chan bool)
			w.Go("stuck", func() {
				defer close(gone)
				x.wait()
				w.Sleep(1)
				t.Error("it is lost and comes no further")
			})
			var e *sim.BlockedError
			require.ErrorAs(t, w.Run(sim.Never), &e)
			require.Contains(t, e.Stack, x.state)
			require.ErrorAs(t, w.Close(), &e)
			x.end()
			<-gone
		})
	}
}

// Who computes, however long, is not blocked.
func TestWorldBusy(t *testing.T) {
	w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
	require.NoError(t, err)
	defer w.Close()
	w.Patience = 10 * time.Millisecond
	co := w.Go("computes", func() {
		for start := time.Now(); time.Since(start) < 5*w.Patience; {
		}
		answer := make(chan int)
		go func() { answer <- 42 }()
		<-answer
	})
	require.NoError(t, co.Wait())
}

// Goroutines that the World has not started may not use it.
func TestWorldForeign(t *testing.T) {
	for _, x := range []struct {
		name string
		use  func(w *sim.World, c net.Conn)
	}{
		{"read", func(w *sim.World, c net.Conn) { c.Read(make([]byte, 1)) }},
		{"write", func(w *sim.World, c net.Conn) { c.Write(make([]byte, 1)) }},
		{"sleep", func(w *sim.World, c net.Conn) { w.Sleep(1) }},
		{"go", func(w *sim.World, c net.Conn) { w.Go("x", func() {}) }},
		{"run", func(w *sim.World, c net.Conn) { w.Run(1) }},
		{"dial", func(w *sim.World, c net.Conn) { w.Host("client").Dial("tcp", "server:81") }},
	} {
		t.Run(x.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *sim.World) {
				c, _ := worldPair(t, w)
				w.Go("careless", func() {
					var wg sync.WaitGroup
					wg.Go(func() { x.use(w, c) })
					wg.Wait()
				})
				var e *sim.ForeignError
				require.ErrorAs(t, w.Run(sim.Never), &e)
				require.Contains(t, e.Stack, "TestWorldForeign")
				require.Contains(t, e.Error(), "simtest")
			})
		})
	}
}

// Close ends coroutines wherever they wait, and their deferred functions run.
func TestWorldClose(t *testing.T) {
	var got []string
	synctest.Test(t, func(t *testing.T) {
		w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
		require.NoError(t, err)
		c, _ := worldPair(t, w)
		l, err := w.Host("server").Listen("tcp", ":81")
		require.NoError(t, err)
		var mu sync.Mutex
		cond := w.NewCond(&mu)
		start := func(name string, f func() error) {
			w.Go(name, func() {
				defer func() { got = append(got, name) }()
				defer w.Sleep(time.Second) // nor do they wait in those
				err := f()
				got = append(got, fmt.Sprint(name, ": ", errors.Is(err, net.ErrClosed)))
			})
		}
		start("reads", func() error { _, err := c.Read(make([]byte, 1)); return err })
		start("accepts", func() error { _, err := l.Accept(); return err })
		start("sleeps", func() error { w.Sleep(time.Hour); return nil })
		start("loops", func() error {
			for {
				l.Accept()
				w.Sleep(time.Second)
			}
		})
		start("waits", func() error {
			mu.Lock()
			defer mu.Unlock()
			for {
				cond.Wait()
			}
		})
		start("writes", func() error {
			for {
				if _, err := c.Write(make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		})
		require.NoError(t, w.Run(time.Second))
		start("has not begun", func() error { t.Error("it shall not begin"); return nil })
		sent := w.Recording().Len()
		require.NoError(t, w.Close())
		require.NoError(t, w.Close())
		require.Equal(t, sent, w.Recording().Len(), "nothing is sent")
		require.NoError(t, w.Run(time.Hour))
		require.True(t, w.Go("late", func() { t.Error("too late") }).Ended())
		w.Sleep(time.Second)
	})
	require.Equal(t, []string{
		"accepts: true", "reads: true", "writes: true",
		"reads", "accepts", "sleeps", "loops", "waits", "writes",
	}, sortedHead(got, 3))
}

// sortedHead sorts the first n: the order in which sockets are closed is that of their addresses.
func sortedHead(s []string, n int) []string {
	head := s[:min(n, len(s))]
	for i := range head {
		for k := range head[:i] {
			if head[i] < head[k] {
				head[i], head[k] = head[k], head[i]
			}
		}
	}
	return s
}

// A coroutine that never ends and never waits is given up.
func TestWorldCloseWithoutEnd(t *testing.T) {
	w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
	require.NoError(t, err)
	w.Patience = 20 * time.Millisecond
	_, s := worldPair(t, w)
	end, ended := make(chan bool), make(chan bool)
	w.Go("stubborn", func() {
		defer close(ended)
		for {
			if _, err := s.Read(make([]byte, 1)); err == nil {
				return
			}
			select {
			case <-end:
				return
			default:
			}
		}
	})
	require.NoError(t, w.Run(time.Second))
	var e *sim.BlockedError
	require.ErrorAs(t, w.Close(), &e)
	require.Equal(t, "stubborn", e.Name)
	close(end)
	<-ended
}

// A World is not driven from within.
func TestWorldNested(t *testing.T) {
	for name, f := range map[string]func(w *sim.World){
		"run":         func(w *sim.World) { w.Go("x", func() { w.Run(sim.Never) }) },
		"step":        func(w *sim.World) { w.Go("x", func() { w.Step() }) },
		"close":       func(w *sim.World) { w.Go("x", func() { w.Close() }) },
		"planned run": func(w *sim.World) { w.At(1, func() { w.Run(sim.Never) }) },
		"planned wait": func(w *sim.World) {
			w.At(1, func() { w.Sleep(1) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *sim.World) {
				f(w)
				require.Panics(t, func() { w.Run(time.Second) })
			})
		})
	}
}

// A program that never comes to rest.
func TestWorldMaxEvents(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		w.MaxEvents = 1000
		w.Go("restless", func() {
			for {
				w.Sleep(1)
			}
		})
		require.ErrorIs(t, w.Run(sim.Never), sim.ErrEvents)
		require.EqualValues(t, 1000, w.Events())
		w.MaxEvents += 10
		require.ErrorIs(t, w.Run(sim.Never), sim.ErrEvents)
		require.EqualValues(t, 1010, w.Events())
	})
}

// Contexts of the World end at its time.
func TestWorldContexts(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		client, server := w.Host("client"), w.Host("server")
		w.Partition(client, server)
		ctx, cancel := w.WithTimeout(context.Background(), 3*time.Second)
		due, ok := ctx.Deadline()
		require.True(t, ok)
		require.Equal(t, sim.Epoch.Add(3*time.Second), due)
		_, err := client.DialContext(ctx, "tcp", "server:80")
		require.True(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded), "%v", err)
		require.Equal(t, 3*time.Second, w.Now().Round(time.Microsecond))
		w.Sleep(1000)
		require.Equal(t, context.DeadlineExceeded, ctx.Err())
		<-ctx.Done()
		cancel()
		require.Equal(t, context.DeadlineExceeded, context.Cause(ctx), "what comes first counts")

		outer, cancel := w.WithCancel(context.Background())
		inner, cancelInner := w.WithTimeout(outer, time.Hour)
		defer cancelInner()
		co := w.Go("dials", func() {
			_, err := client.DialContext(inner, "tcp", "server:80")
			require.ErrorContains(t, err, "operation was canceled")
		})
		w.Sleep(time.Second)
		require.False(t, co.Ended())
		before := w.Now()
		cancel()
		require.NoError(t, co.Wait())
		require.Equal(t, before, w.Now())
		require.Equal(t, context.Canceled, inner.Err())
		_, cancel = w.WithTimeout(inner, time.Second)
		cancel()
		due, _ = inner.Deadline()
		sooner, cancel := w.WithTimeout(inner, 2*time.Hour)
		defer cancel()
		got, _ := sooner.Deadline()
		require.Equal(t, due, got, "the parent's is sooner")
	})
}

// A mutex and a condition variable are all that a program needs.
func TestWorldCond(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		var mu sync.Mutex
		cond := w.NewCond(&mu)
		var queue []int
		var got []string
		for _, name := range []string{"a", "b", "c"} {
			w.Go(name, func() {
				for {
					mu.Lock()
					for len(queue) == 0 {
						cond.Wait()
					}
					x := queue[0]
					queue = queue[1:]
					mu.Unlock()
					if x < 0 {
						return
					}
					got = append(got, fmt.Sprint(name, x))
				}
			})
		}
		put := func(x int) {
			mu.Lock()
			defer mu.Unlock()
			queue = append(queue, x)
			cond.Signal()
		}
		require.NoError(t, w.Run(1000))
		for x := range 5 {
			put(x)
			require.NoError(t, w.Run(w.Now()))
		}
		require.Equal(t, []string{"a0", "b1", "c2", "a3", "b4"}, got)
		for range 3 {
			put(-1)
		}
		cond.Broadcast()
		require.NoError(t, w.Run(w.Now()))
		mu.Lock()
		defer mu.Unlock()
		var e *sim.DeadlockError
		func() {
			defer func() { require.ErrorAs(t, recover().(error), &e) }()
			cond.Wait()
		}()
		require.Empty(t, e.Waiting)
	})
}

// counting is a tcp.Observer.
type counting struct{ events int }

func (c *counting) Event(*tcp.TCB, tcp.Event) { c.events++ }

// The user's observers see what they would see otherwise.
func TestWorldObservers(t *testing.T) {
	var o counting
	decisions := 0
	w, err := sim.NewWorld(sim.NetConfig{
		Stack:  socket.Config{Observer: &o},
		Impair: sim.ImpairConfig{Observe: func(*sim.Decision) { decisions++ }},
	})
	require.NoError(t, err)
	defer w.Close()
	w.Link(w.Host("client"), w.Host("server"), impairedLink)
	worldPair(t, w)
	require.NotZero(t, o.events)
	require.NotZero(t, decisions)
}

// TLS, which starts no goroutine, runs in a World.
func TestWorldTLS(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		cert := selfSigned(t)
		c, s := worldPair(t, w)
		var sent bytes.Buffer
		for range 10000 {
			sent.WriteString("over and over ")
		}
		server := w.Go("server", func() {
			conn := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{cert}})
			_, err := conn.Write(sent.Bytes())
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		})
		conn := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, sent.Len(), len(got))
		require.NoError(t, server.Wait())
	})
}

// selfSigned is a certificate for nobody.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Package net/http dials in goroutines of its own: the World says so.
func TestWorldHTTP(t *testing.T) {
	w, err := sim.NewWorld(sim.NetConfig{Seed: 42})
	require.NoError(t, err)
	w.Patience = 20 * time.Millisecond
	client := &http.Client{Transport: &http.Transport{DialContext: w.Host("client").DialContext}}
	w.Host("server")
	w.Go("browser", func() { client.Get("http://server/") })
	err = w.Run(sim.Never)
	var foreign *sim.ForeignError
	require.ErrorAs(t, err, &foreign)
	require.Contains(t, foreign.Stack, "net/http")
	var blocked *sim.BlockedError
	require.ErrorAs(t, err, &blocked)
	require.Equal(t, "browser", blocked.Name)
	require.Contains(t, err.Error(), "simtest")
}
