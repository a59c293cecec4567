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
	"os"
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
