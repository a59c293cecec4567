package sim_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/socket"
)

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
