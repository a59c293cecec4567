package socket

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"example.com/loopback/tcp"
)

// restAt makes a stand-in that ends at a time, by way of a TCB in TIME-WAIT.
func restAt(t *testing.T, s *Stack, k flowKey, now, due time.Duration) *timeWait {
	cfg := tcp.Config{TimeWaitLen: due - now}
	p := tcp.Params{
		Config: cfg.Defaults(), Stats: &s.tcpStats,
		Local: k.localAddr(), Remote: k.remoteAddr(), MTU: 1500, ISS: 1000,
	}
	var tcb tcp.TCB
	var out tcp.Segment
	drain := func() {
		for tcb.Output(now, &out) {
		}
	}
	tcb.Connect(now, &p)
	drain()
	tcb.Input(now, &tcp.Segment{Seq: 1, Ack: 1001, Flags: tcp.SYN | tcp.ACK, Wnd: 1000})
	tcb.CloseWrite(now)
	drain()
	tcb.Input(now, &tcp.Segment{Seq: 2, Ack: 1002, Flags: tcp.FIN | tcp.ACK, Wnd: 1000})
	tcb.Close(now)
	drain()
	w := &timeWait{key: k, hash: k.hash(protoTCP), how: holdAuto}
	tcb.TimeWait(&w.tcb)
	require.Equal(t, tcp.StateTimeWait, w.tcb.State())
	require.Equal(t, due, w.tcb.Deadline())
	return w
}

// add enters w.
func (t *twTable) add(w *timeWait) {
	i := t.alloc()
	*t.at(i) = *w
	t.enter(i)
}

// TestTimeWaitTableAgainstModel: stand-ins that mostly end in turn, some not, and some removed before. All are found
// until they end, and end when they should, those of one instant in the order of their names.
func TestTimeWaitTableAgainstModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Seed: 1})
		defer s.Close()
		tw := &s.timeWaits
		r := rand.New(rand.NewPCG(7, 8))
		model := map[flowKey]time.Duration{}
		number, sawOdd, sawMany := 0, false, false
		check := func() {
			now := s.now()
			for k, due := range model {
				if due <= now {
					delete(model, k)
				}
			}
			keys := tw.keys()
			require.Len(t, keys, len(model))
			for _, k := range keys {
				if model[k] == 0 || tw.find(&k, k.hash(protoTCP)) == 0 {
					t.Fatalf("%v is there and should not be, or is not found", k)
				}
			}
			least := never
			for _, due := range model {
				least = min(least, due)
			}
			require.Equal(t, least, s.timers.earliest())
			sawOdd = sawOdd || len(tw.odd) > 0
			sawMany = sawMany || len(tw.chunks) > 1
		}
		for step := range 200 {
			tw.mu.Lock()
			for range r.IntN(8) {
				number++
				k := key(number)
				length := time.Minute
				if r.IntN(20) == 0 {
					length = time.Duration(1+r.IntN(30)) * time.Second
				}
				w := restAt(t, s, k, s.now(), s.now()+length)
				s.tcpPorts.hold(k.local, k.lport, w.how)
				tw.add(w)
				model[k] = w.tcb.Deadline()
			}
			tw.mu.Unlock()
			if step > 100 && r.IntN(3) == 0 {
				for k := range model {
					delete(model, k)
					require.True(t, tw.kill(&k))
					require.False(t, tw.kill(&k))
					break
				}
			}
			check()
			time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
			synctest.Wait()
			check()
		}
		require.True(t, sawOdd)
		require.True(t, sawMany)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		check()
		require.Empty(t, model)
		require.Zero(t, s.tcpPorts.users.count, "every port is free")
		require.Empty(t, tw.chunks, "and the memory of many given back")
	})
}

// TestTimeWaitOrder: those that end at the same instant do so in the order of their names, whoever came first, as
// all timers do.
func TestTimeWaitOrder(t *testing.T) {
	s := New(Config{Seed: 1, Clock: stillClock{}})
	tw := &s.timeWaits
	var want []flowKey
	for _, i := range []int{5, 3, 9, 1, 7} {
		k := key(i)
		want = append(want, k)
		s.tcpPorts.hold(k.local, k.lport, holdAuto)
		tw.add(restAt(t, s, k, 0, time.Minute))
	}
	slices.SortFunc(want, compareKeys)
	for len(want) > 0 {
		next, ok := s.NextTimer()
		require.True(t, ok)
		require.Equal(t, want[0].localAddr(), next.Local)
		require.EqualValues(t, protoTCP, next.Proto)
		require.Equal(t, time.Minute, next.Due)
		tw.expire(time.Minute)
		require.Zero(t, tw.find(&want[0], want[0].hash(protoTCP)))
		want = want[1:]
		require.EqualValues(t, len(want), tw.n.Load())
	}
}

// TestTooManyInTimeWait: one more in TIME-WAIT than may be ends the oldest, which is counted and whose port is free then. The others end
// when they should, though the timer is due with the one that is gone.
func TestTooManyInTimeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Seed: 1, MaxTWBuckets: 2})
		defer s.Close()
		tw := &s.timeWaits
		l, err := s.Listen("tcp4", "127.0.0.1:80")
		require.NoError(t, err)
		defer l.Close()
		for i := range 4 {
			c, err := s.DialTCP("tcp4", &net.TCPAddr{Port: 1001 + i}, l.Addr().(*net.TCPAddr))
			require.NoError(t, err)
			peer, err := l.Accept()
			require.NoError(t, err)
			require.NoError(t, errors.Join(c.Close(), peer.Close()))
			require.EqualValues(t, min(i+1, 2), tw.n.Load())
			time.Sleep(10 * time.Second)
		}
		require.EqualValues(t, 2, s.count.twOverflow.Load())
		next, ok := s.NextTimer()
		require.True(t, ok)
		require.Equal(t, time.Minute, next.Due, "moving the timer with each would take as long as all of TCP")
		for i, free := range []bool{true, true, false, false} {
			l, err := s.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", 1001+i))
			if !free {
				require.ErrorIs(t, err, syscall.EADDRINUSE)
				continue
			}
			require.NoError(t, err)
			require.NoError(t, l.Close())
		}
		for _, tt := range []struct {
			at   time.Duration
			left int
		}{{70 * time.Second, 2}, {80*time.Second - 1, 2}, {80 * time.Second, 1}, {90*time.Second - 1, 1}, {90 * time.Second, 0}} {
			time.Sleep(tt.at - s.now())
			synctest.Wait()
			require.EqualValues(t, tt.left, tw.n.Load(), tt.at)
		}
		next, ok = s.NextTimer()
		require.False(t, ok, next)
	})
}

// TestTooManyOutOfTurn: one that ends before all others has the timer, though there are too many.
func TestTooManyOutOfTurn(t *testing.T) {
	s := New(Config{Seed: 1, Clock: stillClock{}, MaxTWBuckets: 1})
	s.timeWaits.add(restAt(t, s, key(1), 0, time.Minute))
	s.timeWaits.add(restAt(t, s, key(2), 0, time.Second))
	next, ok := s.NextTimer()
	require.True(t, ok)
	require.Equal(t, time.Second, next.Due)
}

// stillClock stands still.
type stillClock struct{}

func (stillClock) Now() time.Time                        { return time.Unix(0, 0) }
func (stillClock) AfterFunc(time.Duration, func()) Timer { return stillTimer{} }

type stillTimer struct{}

func (stillTimer) Stop() bool               { return true }
func (stillTimer) Reset(time.Duration) bool { return true }

// TestTimeWaitSize: what a server of short connections has most of.
func TestTimeWaitSize(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(timeWait{}), uintptr(152))
}
