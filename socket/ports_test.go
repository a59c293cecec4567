package socket

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBindConflicts has Linux's rules: who may bind beside whom.
func TestBindConflicts(t *testing.T) {
	a, b := ipOf(loopback4), ipOf(netip.MustParseAddr("127.0.0.2"))
	six := ipOf(loopback6)
	listener := holdListening | holdReuse
	child := holdReuse
	dialled := hold(0)
	for _, tt := range []struct {
		name   string
		addr   ip
		how    hold
		addr2  ip
		how2   hold
		refuse bool
	}{
		{"two listeners on one address", a, listener, a, listener, true},
		{"two listeners on two addresses", a, listener, b, listener, false},
		{"a listener under the wildcard", anyV4, listener, a, listener, true},
		{"the wildcard over a listener", a, listener, anyV4, listener, true},
		{"the dual wildcard over an IPv4 listener", a, listener, anyV6, listener, true},
		{"the IPv6-only wildcard beside an IPv4 listener", a, listener, anyV6, holdListening | holdReuse | holdOnly6, false},
		{"the IPv6-only wildcard over an IPv6 listener", six, listener, anyV6, holdListening | holdReuse | holdOnly6, true},
		{"IPv4 and IPv6 addresses", a, listener, six, listener, false},
		{"a listener over what an earlier one accepted", a, child, a, listener, false},
		{"a listener over a dialled connection's port", a, dialled, a, listener, true},
		{"a dial from a listener's port", a, listener, a, dialled, true},
		{"a dial from an accepted connection's port", a, child, a, dialled, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := new(ports)
			p.init([2]uint16{40000, 40010})
			_, err := p.bind(tt.addr, 631, tt.how, 0)
			require.NoError(t, err)
			_, err = p.bind(tt.addr2, 631, tt.how2, 0)
			if tt.refuse {
				require.Equal(t, syscall.EADDRINUSE, err)
				p.release(tt.addr, 631, tt.how)
				_, err = p.bind(tt.addr2, 631, tt.how2, 0)
			}
			require.NoError(t, err)
		})
	}
}

func TestEphemeralPorts(t *testing.T) {
	p := new(ports)
	p.init([2]uint16{40000, 40003})
	a := ipOf(loopback4)
	seen := map[uint16]bool{}
	for range 4 {
		n, err := p.bind(a, 0, 0, 12345)
		require.NoError(t, err)
		require.False(t, seen[n], "port %d twice", n)
		require.True(t, n >= 40000 && n <= 40003)
		seen[n] = true
	}
	_, err := p.bind(a, 0, 0, 12345)
	require.Equal(t, syscall.EADDRINUSE, err, "bind finds none")
	_, err = p.connect(a, 12345, func(uint16) bool { return true })
	require.Equal(t, syscall.EADDRNOTAVAIL, err, "connect finds none that nobody has bound")

	p.release(a, 40002, 0)
	n, err := p.connect(a, 7, func(uint16) bool { return true })
	require.NoError(t, err)
	require.EqualValues(t, 40002, n)
	n, err = p.connect(a, 7, func(uint16) bool { return true })
	require.NoError(t, err, "connections to different destinations share a port")
	require.EqualValues(t, 40002, n)
	_, err = p.connect(a, 7, func(uint16) bool { return false })
	require.Equal(t, syscall.EADDRNOTAVAIL, err, "every 4-tuple is taken")
}

// TestPortsDoNotDependOnOtherHosts: what one address draws is the same
// whatever another draws meanwhile (RFC 6056, but with a counter per address).
func TestPortsDoNotDependOnOtherHosts(t *testing.T) {
	a, b := ipOf(loopback4), ipOf(netip.MustParseAddr("127.0.0.2"))
	draw := func(disturb bool) (got []uint16) {
		p := new(ports)
		p.init([2]uint16{32768, 60999})
		for range 10 {
			n, err := p.connect(a, 99, func(uint16) bool { return true })
			require.NoError(t, err)
			got = append(got, n)
			if disturb {
				_, err = p.connect(b, 99, func(uint16) bool { return true })
				require.NoError(t, err)
			}
		}
		return got
	}
	require.Equal(t, draw(false), draw(true))
}

// TestPortTable: the table keeps the users of every port apart, however it has grown.
func TestPortTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var table portTable
	model := map[uint16][]*portUser{}
	for range 5000 {
		num := uint16(rng.IntN(300) * 7)
		if users := model[num]; len(users) > 0 && rng.IntN(3) == 0 {
			i := rng.IntN(len(users))
			table.take(users[i])
			model[num] = slices.Delete(users, i, i+1)
		} else {
			u := &portUser{num: num}
			table.put(u)
			model[num] = append(users, u)
		}
		require.ElementsMatch(t, model[num], usersOf(&table, num))
	}
	count := 0
	for num, users := range model {
		require.ElementsMatch(t, users, usersOf(&table, num))
		count += len(users)
	}
	require.Equal(t, count, table.count)
	require.Greater(t, count, minBuckets)
	require.Empty(t, usersOf(&table, 1))
	require.Empty(t, usersOf(new(portTable), 1))
}

// usersOf are the users of port num.
func usersOf(t *portTable, num uint16) (users []*portUser) {
	for u := t.first(num); u != nil; u = u.next {
		if u.num == num {
			users = append(users, u)
		}
	}
	return users
}
