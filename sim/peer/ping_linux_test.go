package peer

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// TestPing sends echo requests of several sizes each way, the largest ones in fragments, and reads the replies.
func TestPing(t *testing.T) {
	eachPair(t, func(t *testing.T, l *lab, family int) {
		for _, size := range []int{0, 56, 1472, 1473, 20_000, 65_000} {
			t.Run(fmt.Sprint(size), func(t *testing.T) { ping(t, l.a, family, size) })
		}
	})
}

// ping sends three echo requests from a host to addrB and waits for the replies.
func ping(t *testing.T, from host, family, size int) {
	network, proto := "ip4:icmp", 1
	var kind, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if family == 6 {
		network, proto = "ip6:ipv6-icmp", 58
		kind, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	c, err := from.listenPacket(network, addrA[family].String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	data := pattern(size)
	for seq := 1; seq <= 3; seq++ {
		m := icmp.Message{Type: kind, Body: &icmp.Echo{ID: 0x4242, Seq: seq, Data: data}}
		b, err := m.Marshal(nil)
		require.NoError(t, err)
		_, err = c.WriteTo(b, &net.IPAddr{IP: addrB[family].AsSlice()})
		require.NoError(t, err)
		answer := make([]byte, 1<<16)
		for {
			n, sender, err := c.ReadFrom(answer)
			require.NoError(t, err)
			got, err := icmp.ParseMessage(proto, answer[:n])
			require.NoError(t, err)
			echo, ok := got.Body.(*icmp.Echo)
			if got.Type != reply || !ok || echo.ID != 0x4242 {
				continue // a raw socket sees all ICMP there is
			}
			require.Equal(t, addrB[family].String(), sender.String())
			require.Equal(t, seq, echo.Seq)
			require.True(t, bytes.Equal(data, echo.Data), "%d bytes came back", len(echo.Data))
			break
		}
	}
}

// pattern is n bytes that tell where they belong.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
}

// TestPingCommand has ping(8) measure the way to a Stack.
func TestPingCommand(t *testing.T) {
	if _, err := exec.LookPath("ping"); err != nil {
		cannot(t, "ping is not installed: %v", err)
	}
	l := newLab(t, "kernel", "stack")
	for _, family := range families {
		out, err := l.a.(*kernel).run("", "ping", "-n", "-c", "3", "-i", "0.05", "-W", "30", addrB[family].String())
		require.NoError(t, err)
		require.Contains(t, out, "3 packets transmitted, 3 received")
		require.NotContains(t, out, "DUP")
	}
}

// TestRefused dials a closed port each way: the RST comes back, and the error is that of package net.
func TestRefused(t *testing.T) {
	eachPair(t, func(t *testing.T, l *lab, family int) {
		_, err := l.a.dial("tcp", netip.AddrPort{}, netip.AddrPortFrom(addrB[family], 81), patience)
		require.Error(t, err)
		require.Equal(t, "dial: ECONNREFUSED", errText(err))
		l.wire.settle()
		s := l.wire.segments()
		require.Len(t, s[0], 1)
		require.Contains(t, s[0][0], "[S] seq 0 len 0")
		require.Len(t, s[1], 1)
		require.Contains(t, s[1][0], "[R.] seq 0 len 0 ack 1")
	})
}

// TestUnreachablePort sends to a UDP port that nobody has, each way: a connected socket is told.
func TestUnreachablePort(t *testing.T) {
	eachPair(t, func(t *testing.T, l *lab, family int) {
		c, err := l.a.dial("udp", netip.AddrPort{}, netip.AddrPortFrom(addrB[family], 81), patience)
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		_, err = c.Write([]byte("anybody?"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 10))
		require.Equal(t, "read: ECONNREFUSED", errText(err))
		_, err = c.Write([]byte("once more"))
		require.NoError(t, err)
		l.wire.settle()
		_, err = c.Write([]byte("and again"))
		require.Equal(t, "write: ECONNREFUSED", errText(err))
	})
}

// TestUnreachableProtocol sends a protocol that nobody speaks, each way.
func TestUnreachableProtocol(t *testing.T) {
	eachPair(t, func(t *testing.T, l *lab, family int) {
		c, err := l.a.listenPacket(fmt.Sprintf("ip%d:253", family), addrA[family].String())
		require.NoError(t, err)
		defer c.Close()
		_, err = c.WriteTo([]byte("hello"), &net.IPAddr{IP: addrB[family].AsSlice()})
		require.NoError(t, err)
		l.wire.settle()
		want := map[int]string{4: "protocol 253 unreachable", 6: "next header"}[family]
		require.True(t, strings.Contains(l.wire.trace(), want), "%s", l.wire.trace())
	})
}
