package sim_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/socket"
)

// inNet runs f on a network in a bubble.
func inNet(t *testing.T, cfg sim.NetConfig, f func(t *testing.T, n *sim.Net)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n, err := sim.NewNet(cfg)
		require.NoError(t, err)
		defer n.Close()
		f(t, n)
	})
}

// A host's address is its own, and does not depend on the seed or the order of naming.
func TestHostAddresses(t *testing.T) {
	names := []string{"db", "web", "a", "b", "c", "host-1", "host-2"}
	addrs := map[string]netip.Addr{}
	inNet(t, sim.NetConfig{Seed: 1}, func(t *testing.T, n *sim.Net) {
		require.EqualValues(t, 1, n.Seed())
		used := map[netip.Addr]bool{}
		for _, name := range names {
			h := n.Host(name)
			addrs[name] = h.Addr()
			require.Same(t, h, n.Host(strings.ToUpper(name)+"."), "names know no case")
			require.Equal(t, name, h.Name())
			require.Equal(t, name+" ("+h.Addr().String()+")", h.String())
			require.True(t, netip.MustParsePrefix("127.0.0.0/8").Contains(h.Addr()))
			require.False(t, netip.MustParsePrefix("127.0.0.0/16").Contains(h.Addr()), "those are the computer's")
			require.False(t, used[h.Addr()])
			used[h.Addr()] = true
			require.Equal(t, []netip.Addr{h.Addr()}, n.Stack().Hosts().Lookup(name))
		}
		require.Panics(t, func() { n.Host("localhost") })
		require.Panics(t, func() { n.Host("no host") })
		require.Panics(t, func() { n.Host("") })
	})
	inNet(t, sim.NetConfig{}, func(t *testing.T, n *sim.Net) {
		require.EqualValues(t, 1, n.Seed(), "0 counts as 1")
		for i := range names {
			name := names[len(names)-1-i]
			require.Equal(t, addrs[name], n.Host(name).Addr(), name)
		}
	})
	// A taken address is passed over.
	cfg := sim.NetConfig{Stack: socket.Config{Hosts: addrs["db"].String() + " squatter\n"}}
	inNet(t, cfg, func(t *testing.T, n *sim.Net) {
		require.Equal(t, addrs["db"].Next(), n.Host("db").Addr())
	})
}

// A host listens on its own address only, and dials from it.
func TestHostBinding(t *testing.T) {
	inNet(t, sim.NetConfig{}, func(t *testing.T, n *sim.Net) {
		h, other := n.Host("h"), n.Host("other")
		for _, x := range []struct {
			address string
			err     error
		}{
			{":80", nil}, {"", nil}, {"0.0.0.0:80", nil}, {"[::]:80", nil}, {"h:80", nil}, {"H.:80", nil}, {h.Addr().String() + ":80", nil},
			{"other:80", syscall.EADDRNOTAVAIL}, {other.Addr().String() + ":80", syscall.EADDRNOTAVAIL},
			{"127.0.0.1:80", syscall.EADDRNOTAVAIL}, {"localhost:80", syscall.EADDRNOTAVAIL},
		} {
			l, err := h.Listen("tcp", x.address)
			u, uerr := h.ListenPacket("udp", x.address)
			if x.err != nil {
				require.ErrorIs(t, err, x.err, x.address)
				require.ErrorIs(t, uerr, x.err, x.address)
				continue
			}
			require.NoError(t, err, x.address)
			require.NoError(t, uerr, x.address)
			require.Equal(t, h.Addr(), l.Addr().(*net.TCPAddr).AddrPort().Addr())
			require.Equal(t, h.Addr(), u.LocalAddr().(*net.UDPAddr).AddrPort().Addr())
			l.Close()
			u.Close()
		}
		_, err := h.Listen("tcp", "80")
		var ae *net.AddrError
		require.ErrorAs(t, err, &ae)

		l, err := h.Listen("tcp", ":80")
		require.NoError(t, err)
		again, err := other.Listen("tcp", ":80")
		require.NoError(t, err, "every host has all ports")
		again.Close()
		c, err := other.Dial("tcp", "h:80")
		require.NoError(t, err)
		require.Equal(t, other.Addr(), c.LocalAddr().(*net.TCPAddr).AddrPort().Addr())
		c.Close()
		l.Close()
		_, err = other.Dial("tcp", "nobody:80")
		var de *net.DNSError
		require.ErrorAs(t, err, &de)
		_, err = other.Dial("ip4:icmp", "h")
		require.ErrorAs(t, err, new(net.UnknownNetworkError))
	})
}

// exchange sends a datagram each way and says how long each took; never if it did not arrive within a minute.
func exchange(t *testing.T, a, b *sim.Host) (there, back time.Duration) {
	t.Helper()
	x, err := a.ListenPacket("udp", ":9")
	require.NoError(t, err)
	defer x.Close()
	y, err := b.ListenPacket("udp", ":9")
	require.NoError(t, err)
	defer y.Close()
	send := func(from, to net.PacketConn) time.Duration {
		start := time.Now()
		_, err := from.WriteTo([]byte("x"), to.LocalAddr())
		require.NoError(t, err)
		to.SetReadDeadline(start.Add(time.Minute))
		if _, _, err := to.ReadFrom(make([]byte, 9)); err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			return -1
		}
		return time.Since(start).Truncate(time.Microsecond)
	}
	return send(x, y), send(y, x)
}

func TestLinks(t *testing.T) {
	inNet(t, sim.NetConfig{}, func(t *testing.T, n *sim.Net) {
		a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
		want := func(x, y *sim.Host, there, back time.Duration) {
			t.Helper()
			gotThere, gotBack := exchange(t, x, y)
			require.Equal(t, [2]time.Duration{there, back}, [2]time.Duration{gotThere, gotBack})
		}
		const ms = time.Millisecond
		want(a, b, 0, 0)
		n.Link(a, b, sim.Impairment{Delay: 20 * ms})
		want(a, b, 20*ms, 20*ms)
		want(a, c, 0, 0)
		n.LinkOneWay(b, a, sim.Impairment{Delay: 7 * ms})
		want(a, b, 20*ms, 7*ms)
		n.Link(b, a, sim.Impairment{})
		want(a, b, 0, 0)

		n.Partition(a, b)
		want(a, b, -1, -1)
		want(a, c, 0, 0)
		n.Partition(c)
		want(a, c, -1, -1)
		want(b, c, -1, -1)
		n.Heal()
		want(a, b, 0, 0)
		want(b, c, 0, 0)
		require.Len(t, n.Decisions(), 6)
		require.Equal(t, sim.ReasonBlackhole, n.Decisions()[0].Reason)
		require.True(t, n.Impaired().Stats().Balanced())
		require.PanicsWithValue(t, "sim: invalid rule: Loss 2 is not within 0 and 1", func() { n.Link(a, b, sim.Impairment{Loss: 2}) })
	})
}

// What At plans happens in order, and not any more when the network is closed.
func TestAt(t *testing.T) {
	var got []string
	inNet(t, sim.NetConfig{}, func(t *testing.T, n *sim.Net) {
		note := func(s string) func() { return func() { got = append(got, s) } }
		n.At(2*time.Second, note("third"))
		n.At(time.Second, note("first"))
		n.At(time.Second, note("second"))
		n.At(time.Hour, note("never"))
		time.Sleep(10 * time.Second)
		require.Equal(t, 10*time.Second, n.Now())
		n.Close()
		time.Sleep(2 * time.Hour)
	})
	require.Equal(t, []string{"first", "second", "third"}, got)
}

// A recording keeps as much as it may, and says what it has not.
func TestRecordingLimit(t *testing.T) {
	for _, x := range []struct {
		bytes, packets int
		lost           uint64
	}{{0, 2, 0}, {-1, 0, 0}, {130, 1, 1}} {
		inNet(t, sim.NetConfig{CaptureBytes: x.bytes}, func(t *testing.T, n *sim.Net) {
			exchange(t, n.Host("a"), n.Host("b"))
			r := n.Recording()
			require.Equal(t, x.packets, r.Len(), x.bytes)
			require.Equal(t, x.lost, r.Lost())
			var text bytes.Buffer
			require.NoError(t, r.WriteText(&text))
			require.Equal(t, x.packets, strings.Count(text.String(), "UDP, length 1\n"), text.String())
			if x.packets > 0 {
				full := errors.New("disk full")
				require.ErrorIs(t, r.WritePcapng(badWriter{full}), full)
				require.ErrorIs(t, r.WriteText(badWriter{full}), full)
			}
		})
	}
}

type badWriter struct{ err error }

func (w badWriter) Write([]byte) (int, error) { return 0, w.err }

func TestNetConfigErrors(t *testing.T) {
	_, err := sim.NewNet(sim.NetConfig{Stack: socket.Config{Hosts: "nonsense\n"}})
	require.Error(t, err)
	_, err = sim.NewNet(sim.NetConfig{Impair: sim.ImpairConfig{Rules: []sim.Rule{{Impairment: sim.Impairment{Loss: -1}}}}})
	require.ErrorIs(t, err, sim.ErrRule)
}
