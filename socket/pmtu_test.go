package socket

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/ipv4"
)

func TestPathMTUsLearned(t *testing.T) {
	dst4, dst6 := ipOf(netip.MustParseAddr("192.0.2.2")), ipOf(netip.MustParseAddr("2001:db8::2"))
	for _, tt := range []struct {
		name     string
		dst      ip
		mtu      int
		want     int // 0: nothing is learned
		wantNoDF bool
	}{
		{"smaller than before", dst4, 1300, 1300, false},
		{"as before", dst4, 1500, 0, false},
		{"larger than before", dst4, 9000, 0, false},
		{"the least that is believed", dst4, 552, 552, false},
		{"less than that", dst4, 551, 552, true},
		{"not said", dst4, 0, 552, true},
		{"IPv6", dst6, 1400, 1400, false},
		{"the least of IPv6", dst6, 1280, 1280, false},
		{"less than IPv6 has", dst6, 1279, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m pathMTUs
			_, ok := m.find(0, tt.dst)
			require.False(t, ok)
			m.learn(time.Second, tt.dst, tt.mtu, 1500)
			path, ok := m.find(time.Second, tt.dst)
			require.Equal(t, tt.want != 0, ok)
			require.Equal(t, tt.want, path.mtu)
			require.Equal(t, tt.wantNoDF, path.tooLow)
			_, ok = m.find(time.Second+10*time.Minute-1, tt.dst)
			require.Equal(t, tt.want != 0, ok)
			_, ok = m.find(time.Second+10*time.Minute, tt.dst)
			require.False(t, ok, "it is tried again")
		})
	}
}

func TestPathMTUsAreBounded(t *testing.T) {
	var m pathMTUs
	path := func(i int) ip { return ip4([]byte{10, 0, byte(i >> 8), byte(i)}) }
	for i := range maxPathMTUs {
		m.learn(0, path(i), 1300, 1500)
	}
	m.learn(time.Minute, path(0), 1200, 1300) // known already: stays the oldest
	m.learn(0, path(maxPathMTUs), 1300, 1500)
	require.Len(t, m.known, maxPathMTUs)
	_, ok := m.find(0, path(0))
	require.False(t, ok, "the first is forgotten")
	_, ok = m.find(0, path(1))
	require.True(t, ok)

	m.find(time.Hour, path(2)) // too old: gone
	m.learn(time.Hour, path(2), 1300, 1500)
	require.Len(t, m.known, maxPathMTUs-1)
	_, ok = m.find(time.Hour, path(2))
	require.True(t, ok)
	m.learn(time.Hour, path(9999), 1300, 1500) // takes the place that path 2 had at first
	_, ok = m.find(time.Hour, path(2))
	require.True(t, ok, "which is not that of the new one")
}

// TestDatagramsHeedThePathMTU: what a router refuses is told to the socket that sent it, and datagrams to that
// destination are cut from then on, for as long as it is believed.
func TestDatagramsHeedThePathMTU(t *testing.T) {
	for _, family := range []int{4, 6} {
		t.Run(map[int]string{4: "IPv4", 6: "IPv6"}[family], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { heedPathMTU(t, family) })
		})
	}
}

func heedPathMTU(t *testing.T, family int) {
	wire := device.NewPort(0)
	s := New(Config{MTU: 1500, Link: wire})
	local, remote, router := "192.0.2.1", "198.51.100.2", "192.0.2.254"
	if family == 6 {
		local, remote, router = "2001:db8::1", "2001:db8:1::2", "2001:db8::fe"
	}
	require.NoError(t, s.NIC().AddAddr(netip.PrefixFrom(netip.MustParseAddr(local), 24)))
	c, err := s.Dial("udp", net.JoinHostPort(remote, "9"))
	require.NoError(t, err)
	sizes := func() (list []int) {
		wire.Drain(func(raw []byte) { list = append(list, len(raw)) })
		return list
	}
	data := make([]byte, 1400)
	_, err = c.Write(data)
	require.NoError(t, err)
	first, _ := wire.Next()
	refuse(t, s, router, local, first, 1300)
	_, err = c.Write(data)
	require.ErrorIs(t, err, syscall.EMSGSIZE, "the sender is told, once")
	_, err = c.Write(data)
	require.NoError(t, err)
	want := map[int][]int{4: {1300, 148}, 6: {1296, 208}}[family]
	require.Equal(t, want, sizes())

	other, err := s.Dial("udp", net.JoinHostPort(remote, "10")) // another socket profits
	require.NoError(t, err)
	_, err = other.Write(data)
	require.NoError(t, err)
	require.Equal(t, want, sizes())

	time.Sleep(10 * time.Minute)
	_, err = c.Write(data)
	require.NoError(t, err)
	require.Equal(t, []int{len(first)}, sizes(), "perhaps the way has become wider")

	stranger := append([]byte(nil), first...)
	port := map[int]int{4: 20, 6: 40}[family]
	stranger[port] ^= 0x55 // about a socket that is not there
	refuse(t, s, router, local, stranger, 1300)
	_, err = c.Write(data)
	require.NoError(t, err)
	require.Equal(t, []int{len(first)}, sizes(), "anybody may say that")
	require.NoError(t, c.Close())
	require.NoError(t, other.Close())
}

// TestNarrowPathWithoutDF: where a path passes on less than is believed of any, datagrams may be divided on it.
func TestNarrowPathWithoutDF(t *testing.T) {
	wire := device.NewPort(0)
	s := New(Config{MTU: 1500, Link: wire})
	defer s.Close()
	local := "192.0.2.1"
	require.NoError(t, s.NIC().AddAddr(netip.PrefixFrom(netip.MustParseAddr(local), 24)))
	c, err := s.Dial("udp", "198.51.100.2:9")
	require.NoError(t, err)
	divisible := func() bool {
		_, err := c.Write(make([]byte, 100))
		require.NoError(t, err)
		raw, ok := wire.Next()
		require.True(t, ok)
		h, _, why := ipv4.Parse(raw)
		require.Equal(t, ipv4.OK, why)
		return !h.DontFragment()
	}
	require.False(t, divisible())
	_, err = c.Write(make([]byte, 1400))
	require.NoError(t, err)
	large, _ := wire.Next()
	refuse(t, s, "192.0.2.254", local, large, 300)
	_, err = c.Write(nil)
	require.ErrorIs(t, err, syscall.EMSGSIZE, "the sender is told, once")
	require.True(t, divisible())
}

// refuse injects the ICMP error of a router that cannot pass on the packet orig.
func refuse(t *testing.T, s *Stack, router, to string, orig []byte, mtu uint16) {
	src, dst := netip.MustParseAddr(router).AsSlice(), netip.MustParseAddr(to).AsSlice()
	var ls []gopacket.SerializableLayer
	if len(src) == 4 {
		ls = []gopacket.SerializableLayer{
			&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: src, DstIP: dst},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: mtu},
			gopacket.Payload(orig[:28]),
		}
	} else {
		h := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolICMPv6, SrcIP: src, DstIP: dst}
		m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}
		require.NoError(t, m.SetNetworkLayerForChecksum(h))
		ls = []gopacket.SerializableLayer{h, m, gopacket.Payload(append([]byte{0, 0, byte(mtu >> 8), byte(mtu)}, orig[:500]...))}
	}
	b := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
	require.NoError(t, s.NIC().Inject(0, b.Bytes()))
}
