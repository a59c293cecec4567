package sim_test

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/sim"
	"example.com/loopback/socket"
)

func newDriver(t *testing.T) *sim.Driver {
	t.Helper()
	d, err := sim.NewDriver(sim.DriverConfig{
		Stack: socket.Config{MTU: 1500},
		Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8::1/64")},
		Local: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func sentAt(d *sim.Driver) (at []time.Duration) {
	for s, ok := d.Next(); ok; s, ok = d.Next() {
		at = append(at, s.At)
	}
	return at
}

// TestDriverNever: the Deadline of a computer at rest is Never, and time must not go there: nothing could be planned
// after it.
func TestDriverNever(t *testing.T) {
	d := newDriver(t)
	require.Equal(t, sim.Never, d.Deadline())
	d.Advance(d.Deadline())
	require.Zero(t, d.Now())

	k, err := d.Stack().Socket("tcp4")
	require.NoError(t, err)
	require.ErrorIs(t, k.Connect(netip.MustParseAddrPort("192.0.2.9:80")), syscall.EINPROGRESS)
	d.Advance(sim.Never)
	seconds := []time.Duration{0, 1, 3, 7, 15, 31, 63}
	sent := sentAt(d)
	require.Len(t, sent, len(seconds))
	for i, at := range sent {
		require.Equal(t, seconds[i]*time.Second, at.Truncate(time.Millisecond))
	}
	require.Equal(t, 127*time.Second, d.Now().Truncate(time.Millisecond), "the end of the attempt, and not of time")
	require.ErrorIs(t, k.TakeError(), syscall.ETIMEDOUT)
	require.Equal(t, sim.Never, d.Deadline())

	d.Advance(d.Now() - time.Hour)
	require.Equal(t, 127*time.Second, d.Now().Truncate(time.Millisecond), "time never goes back")
}

// TestDriverAddresses: which addresses are local, and how the families meet.
func TestDriverAddresses(t *testing.T) {
	d := newDriver(t)
	bind := func(network, addr string, only6 bool) error {
		k, err := d.Stack().Socket(network)
		require.NoError(t, err)
		k.SetOnly6(only6)
		return k.Bind(netip.MustParseAddrPort(addr))
	}
	require.NoError(t, bind("tcp4", "192.0.2.1:1", false))
	require.NoError(t, bind("tcp4", "198.51.100.77:1", false), "of a local prefix")
	require.NoError(t, bind("tcp6", "[2001:db8::1]:1", false))
	require.NoError(t, bind("tcp6", "[::ffff:192.0.2.1]:2", false))
	require.ErrorIs(t, bind("tcp4", "192.0.2.2:1", false), syscall.EADDRNOTAVAIL)
	require.ErrorIs(t, bind("tcp6", "[2001:db8::2]:1", false), syscall.EADDRNOTAVAIL)
	require.ErrorIs(t, bind("tcp6", "[::ffff:192.0.2.1]:3", true), syscall.EINVAL)
	for _, network := range []string{"tcp", "udp", "unix", "sctp", ""} {
		_, err := d.Stack().Socket(network)
		require.ErrorIs(t, err, syscall.EAFNOSUPPORT, "%q leaves the family open", network)
	}
}

// TestDriverBadPackets: what is no packet at all is an error, what is a bad one is dropped and counted.
func TestDriverBadPackets(t *testing.T) {
	d := newDriver(t)
	require.Error(t, d.Inject(nil))
	require.Error(t, d.Inject(make([]byte, 1<<17)))
	for _, b := range [][]byte{{0x45}, {0x60}, make([]byte, 20), make([]byte, 40)} {
		require.NoError(t, d.Inject(b))
	}
	require.Empty(t, sentAt(d))

	require.NoError(t, d.Close())
	if err := d.Inject([]byte{0x45}); err != nil {
		require.True(t, errors.Is(err, device.ErrDown), "%v", err)
	}
}

// TestDriverMisuse: addresses that are none.
func TestDriverMisuse(t *testing.T) {
	_, err := sim.NewDriver(sim.DriverConfig{Addrs: []netip.Prefix{{}}})
	require.Error(t, err)
	_, err = sim.NewDriver(sim.DriverConfig{Local: []netip.Prefix{{}}})
	require.Error(t, err)
}
