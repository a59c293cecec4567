package socket

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func addrs(text ...string) []netip.Addr {
	var as []netip.Addr
	for _, t := range text {
		as = append(as, netip.MustParseAddr(t))
	}
	return as
}

func TestHostsParse(t *testing.T) {
	for _, c := range []struct {
		name, text string
		lookups    map[string][]netip.Addr
		reverse    map[string][]string
		problems   []HostsError
	}{{
		name: "defaults",
		text: DefaultHosts,
		lookups: map[string][]netip.Addr{
			"localhost":     addrs("127.0.0.1", "::1"),
			"LocalHost":     addrs("127.0.0.1", "::1"),
			"localhost.":    addrs("127.0.0.1", "::1"),
			"ip6-localhost": addrs("::1"),
			"ip6-loopback":  addrs("::1"),
			"loopback":      nil,
			"":              nil,
			".":             nil,
		},
		reverse: map[string][]string{
			"127.0.0.1":        {"localhost"},
			"::ffff:127.0.0.1": {"localhost"},
			"::1":              {"localhost", "ip6-localhost", "ip6-loopback"},
			"127.0.0.2":        nil,
		},
	}, {
		name: "comments, blanks, many names on a line, many lines for a name",
		text: "# nothing\n\n \t\n127.0.0.1\tloopback  Lo#pback\n10.0.0.1 db db.example # primary\r\n::a db\n10.0.0.1 db more",
		lookups: map[string][]netip.Addr{
			"loopback":   addrs("127.0.0.1"),
			"lo":         addrs("127.0.0.1"),
			"pback":      nil,
			"db":         addrs("10.0.0.1", "::a"),
			"DB.EXAMPLE": addrs("10.0.0.1"),
			"more":       addrs("10.0.0.1"),
		},
		reverse: map[string][]string{"10.0.0.1": {"db", "db.example", "more"}, "127.0.0.1": {"loopback", "Lo"}},
	}, {
		name: "lines that cannot be taken do not keep the others out",
		text: "fe80::1%lo0 zoned\n127.1 short\n1.2.3.4\n1.2.3.4 good\n1.2.3.4 fine -bad\n\n999.0.0.1 x",
		lookups: map[string][]netip.Addr{
			"good": addrs("1.2.3.4"), "zoned": nil, "short": nil, "fine": nil, "x": nil,
		},
		problems: []HostsError{
			{1, "fe80::1%lo0", HostsZone},
			{2, "127.1", HostsBadAddress},
			{3, "1.2.3.4", HostsNoName},
			{5, "-bad", HostsBadName},
			{7, "999.0.0.1", HostsBadAddress},
		},
	}, {
		name:    "IPv4 in IPv6's clothes",
		text:    "::ffff:127.0.0.3 third",
		lookups: map[string][]netip.Addr{"third": addrs("127.0.0.3")},
		reverse: map[string][]string{"127.0.0.3": {"third"}},
	}} {
		t.Run(c.name, func(t *testing.T) {
			var h Hosts
			err := h.Parse(c.text)
			var got []HostsError
			if err != nil {
				for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
					got = append(got, *e.(*HostsError))
				}
			}
			require.Equal(t, c.problems, got)
			for name, want := range c.lookups {
				require.Equal(t, want, h.Lookup(name), "Lookup(%q)", name)
			}
			for addr, want := range c.reverse {
				require.Equal(t, want, h.LookupAddr(netip.MustParseAddr(addr)), "LookupAddr(%s)", addr)
			}
			var again Hosts
			require.NoError(t, again.Parse(h.String()))
			require.Equal(t, h.String(), again.String(), "String is read back as the same table")
		})
	}
}

func TestHostsAddRefuses(t *testing.T) {
	long := strings.Repeat("a", 63)
	ok := addrs("127.0.0.9")[0]
	for _, c := range []struct {
		addr  netip.Addr
		names []string
		want  HostsProblem
		text  string
	}{
		{netip.Addr{}, []string{"a"}, HostsBadAddress, `hosts: "invalid IP": not an IP address`},
		{netip.MustParseAddr("::1%lo"), []string{"a"}, HostsZone, `hosts: "::1%lo": address with a zone`},
		{ok, nil, HostsNoName, `hosts: "127.0.0.9": no host name`},
		{ok, []string{""}, HostsBadName, `hosts: "": not a host name`},
		{ok, []string{"good", "."}, HostsBadName, ""},
		{ok, []string{"a..b"}, HostsBadName, ""},
		{ok, []string{".a"}, HostsBadName, ""},
		{ok, []string{"a.."}, HostsBadName, ""},
		{ok, []string{"a-"}, HostsBadName, ""},
		{ok, []string{"b c"}, HostsBadName, ""},
		{ok, []string{"b#c"}, HostsBadName, ""},
		{ok, []string{"b:80"}, HostsBadName, ""},
		{ok, []string{"127.0.0.1"}, HostsBadName, ""},
		{ok, []string{"127.1"}, HostsBadName, ""},
		{ok, []string{"größe"}, HostsBadName, ""},
		{ok, []string{long + "a"}, HostsBadName, ""},
		{ok, []string{strings.Repeat(long+".", 3) + long}, HostsBadName, ""},
	} {
		t.Run(fmt.Sprint(c.addr, c.names), func(t *testing.T) {
			var h Hosts
			err := h.Add(c.addr, c.names...)
			require.ErrorIs(t, err, c.want)
			var he *HostsError
			require.True(t, errors.As(err, &he))
			if c.text != "" {
				require.EqualError(t, err, c.text)
			}
			require.Empty(t, h.String(), "nothing was added")
		})
	}
	var h Hosts
	for _, name := range []string{"a", "A-1.b_2.", "1a", long, strings.Repeat(long+".", 3) + long[2:], "xn--gre-6ka"} {
		require.NoError(t, h.Add(ok, name), "%q", name)
		require.Equal(t, []netip.Addr{ok}, h.Lookup(name), "%q", name)
	}
}

func TestHostsRemove(t *testing.T) {
	var h Hosts
	require.NoError(t, h.Parse(DefaultHosts+"127.0.0.1 loopback"))
	require.False(t, h.Remove("nobody"))
	require.True(t, h.Remove("LOCALHOST."))
	require.False(t, h.Remove("localhost"))
	require.Nil(t, h.Lookup("localhost"))
	require.Equal(t, []string{"loopback"}, h.LookupAddr(loopback4))
	require.Equal(t, "::1\tip6-localhost ip6-loopback\n127.0.0.1\tloopback\n", h.String())
	require.True(t, h.Remove("loopback"))
	require.Nil(t, h.LookupAddr(loopback4))
	require.NoError(t, h.Add(addrs("127.0.0.5")[0], "localhost"), "a name can move")
	require.Equal(t, addrs("127.0.0.5"), h.Lookup("localhost"))
}

func TestHostsResultsBelongToTheCaller(t *testing.T) {
	var h Hosts
	require.NoError(t, h.Parse(DefaultHosts))
	h.Lookup("localhost")[0] = netip.Addr{}
	h.LookupAddr(loopback6)[0] = "x"
	require.Equal(t, addrs("127.0.0.1", "::1"), h.Lookup("localhost"))
	require.Equal(t, "localhost", h.LookupAddr(loopback6)[0])
}

func TestHostsConcurrently(t *testing.T) {
	var h Hosts
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				a := netip.AddrFrom4([4]byte{127, 1, byte(i), byte(j)})
				name := fmt.Sprintf("host-%d-%d", i, j)
				if err := h.Add(a, name, "everybody"); err != nil {
					t.Error(err)
				}
				if got := h.Lookup(name); len(got) != 1 || got[0] != a {
					t.Errorf("Lookup(%s) = %v, want %v", name, got, a)
				}
				h.LookupAddr(a)
				_ = h.String()
				if j%2 == 1 && !h.Remove(name) {
					t.Errorf("%s had gone", name)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, h.Lookup("everybody"), 800)
	require.Len(t, strings.Split(strings.TrimSpace(h.String()), "\n"), 800)
}

// FuzzHostsParse: no text breaks the table, and what it prints is the same table again.
func FuzzHostsParse(f *testing.F) {
	f.Add(DefaultHosts)
	f.Add("# c\n127.0.0.1 a b#c\n::1%lo x\n\r\n1.2.3.4\n::ffff:1.2.3.4 q.\n1.2.3.4 Q")
	f.Add("\x00\xff 1 2 3\n0.0.0.0 _")
	f.Fuzz(func(t *testing.T, text string) {
		var h, again Hosts
		_ = h.Parse(text)
		printed := h.String()
		if err := again.Parse(printed); err != nil {
			t.Fatalf("our own output is refused: %v\n%s", err, printed)
		}
		if again.String() != printed {
			t.Fatalf("not a fixed point:\n%s\n%s", printed, again.String())
		}
		for line := range strings.Lines(printed) {
			fields := strings.Fields(line)
			a := netip.MustParseAddr(fields[0])
			for _, name := range fields[1:] {
				if got := h.Lookup(strings.ToUpper(name)); len(got) == 0 {
					t.Fatalf("%s is in the table and not found", name)
				}
			}
			if len(h.LookupAddr(a)) == 0 {
				t.Fatalf("%s is in the table and has no name", a)
			}
		}
	})
}
