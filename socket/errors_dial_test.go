//go:build linux

package socket_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/loopback/socket"
	"github.com/stretchr/testify/require"
)

// TestDialAndListenLikeTheKernel has everything that can go wrong, or oddly right, before there is a connection.
func TestDialAndListenLikeTheKernel(t *testing.T) {
	compareWithKernel(t, dialSituations)
	compareWithKernel(t, listenSituations)
	compareWithKernel(t, addressSituations)
}

var dialSituations = []situation{
	{name: "refused", play: func(s *scene) {
		addr := s.closedTCP()
		for _, network := range []string{"tcp", s.of("tcp")} {
			c, err := s.Dial(network, addr.String())
			s.outcome("Dial "+network, err)
			s.tell("conn is nil: %t", c == nil)
			c2, err := s.DialTCP(network, nil, addr)
			s.outcome("DialTCP "+network, err)
			s.tell("conn is nil: %t", c2 == nil)
		}
	}},
	{name: "refused from a chosen address", play: func(s *scene) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: s.ip()}}
		_, err := s.DialContext(context.Background(), &d, "tcp", s.closedTCP().String())
		s.outcome("DialContext", err)
		_, err = s.DialTCP("tcp", &net.TCPAddr{IP: s.ip()}, s.closedTCP())
		s.outcome("DialTCP", err)
		_, err = s.DialTCP("tcp", &net.TCPAddr{}, s.closedTCP())
		s.outcome("DialTCP from a wildcard", err)
	}},
	{name: "port 0", play: func(s *scene) {
		_, err := s.Dial("tcp", s.host()+":0")
		s.outcome("Dial tcp", err)
		c, err := s.Dial("udp", s.host()+":0")
		s.outcome("Dial udp", err)
		if err == nil {
			defer c.Close()
			s.tell("%v -> %v", c.LocalAddr(), c.RemoteAddr())
			s.write(c, "to port 0")
		}
	}},
	{name: "cancelled before it begins", play: func(s *scene) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		for _, network := range []string{"tcp", "udp"} {
			_, err := s.DialContext(ctx, &net.Dialer{}, network, s.host()+":9")
			s.outcome("DialContext "+network, err)
			s.tell("package net's own value: %t", errors.Unwrap(err) == errCanceled())
			// Package net looks the name up at the same time; when that ends first, the error says so less.
			_, err = s.DialContext(ctx, &net.Dialer{}, network, "localhost:9")
			s.tell("DialContext localhost %s: %t", network, strings.HasSuffix(err.Error(), "operation was canceled"))
		}
	}},
	{name: "time is up before it begins", play: func(s *scene) {
		for _, d := range []*net.Dialer{{Deadline: past()}, {Timeout: -1}, {Timeout: time.Hour, Deadline: past()}} {
			_, err := s.DialContext(context.Background(), d, "tcp", s.host()+":9")
			s.outcome("DialContext", err)
		}
		ctx, cancel := context.WithDeadline(context.Background(), past())
		defer cancel()
		_, err := s.DialContext(ctx, &net.Dialer{}, "udp", s.host()+":9")
		s.outcome("DialContext", err)
		_, err = s.DialTimeout("tcp", s.host()+":9", -time.Second)
		s.outcome("DialTimeout", err)
	}},
	{name: "nobody answers", config: socket.Config{SoMaxConn: 1}, play: func(s *scene) {
		l := must(listenBacklog(s.netAPI, s.host()+":0"))
		defer l.Close()
		for range 2 {
			guarded(s, must(s.Dial("tcp", l.Addr().String())))
		}
		_, err := s.DialTimeout("tcp", l.Addr().String(), 20*time.Millisecond)
		s.outcome("DialTimeout", err)
		_, err = s.DialContext(context.Background(), &net.Dialer{Deadline: time.Now().Add(20 * time.Millisecond)}, "tcp", l.Addr().String())
		s.outcome("Deadline", err)
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err = s.DialContext(ctx, &net.Dialer{}, "tcp", l.Addr().String())
		s.outcome("cancelled while it waits", err)
		quit := make(chan struct{})
		time.AfterFunc(20*time.Millisecond, func() { close(quit) })
		d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: s.ip()}}
		//lint:ignore SA1019 programs still use Cancel
		d.Cancel = quit
		_, err = s.DialContext(context.Background(), d, "tcp", l.Addr().String())
		s.outcome("Cancel while it waits", err)
	}},
	{name: "itself", play: func(s *scene) {
		a := s.closedTCP()
		c, err := s.DialTCP("tcp", a, a)
		s.outcome("DialTCP", err)
		if err != nil {
			return
		}
		guarded(s, c)
		s.tell("%v -> %v", c.LocalAddr(), c.RemoteAddr())
		s.write(c, "echo")
		s.read(c, 10)
		s.outcome("CloseWrite", c.CloseWrite())
		s.read(c, 10)
	}},
	{name: "local address that is not local", only: 4, play: func(s *scene) {
		_, err := s.DialTCP("tcp", &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1)}, s.closedTCP())
		s.outcome("DialTCP", err)
		_, err = s.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 5}, s.closedUDP())
		s.outcome("DialUDP", err)
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1)}}
		_, err = s.DialContext(context.Background(), &d, "tcp", s.closedTCP().String())
		s.outcome("DialContext", err)
	}},
	{name: "local address of the other family", play: func(s *scene) {
		other := net.IPv6loopback
		if s.family == 6 {
			other = net.IPv4(127, 0, 0, 1)
		}
		_, err := s.DialTCP("tcp", &net.TCPAddr{IP: other}, s.closedTCP())
		s.outcome("DialTCP", err)
		_, err = s.DialTCP(s.of("tcp"), &net.TCPAddr{IP: other}, s.closedTCP())
		s.outcome("DialTCP, one family", err)
		_, err = s.DialUDP("udp", &net.UDPAddr{IP: other}, s.closedUDP())
		s.outcome("DialUDP", err)
		_, err = s.DialContext(context.Background(), &net.Dialer{LocalAddr: &net.TCPAddr{IP: other}}, "tcp", s.closedTCP().String())
		s.outcome("DialContext", err)
	}},
	{name: "local address of the wrong type", play: func(s *scene) {
		for _, a := range []net.Addr{&net.UDPAddr{IP: s.ip()}, &net.IPAddr{}, &net.UnixAddr{Name: "@x", Net: "unix"}} {
			_, err := s.DialContext(context.Background(), &net.Dialer{LocalAddr: a}, "tcp", s.closedTCP().String())
			s.outcome("DialContext", err)
		}
	}},
	{name: "local address in use", play: func(s *scene) {
		l := s.listener()
		_, err := s.DialTCP("tcp", l.Addr().(*net.TCPAddr), s.closedTCP())
		s.outcome("by a listener", err)
		c, _ := s.connect(l)
		_, err = s.DialTCP("tcp", c.LocalAddr().(*net.TCPAddr), s.closedTCP())
		s.outcome("by a connection", err)
		u := s.bound()
		_, err = s.DialUDP("udp", u.LocalAddr().(*net.UDPAddr), s.closedUDP())
		s.outcome("udp", err)
	}},
	{name: "missing remote address", play: func(s *scene) {
		_, err := s.DialTCP("tcp", nil, nil)
		s.outcome("DialTCP", err)
		_, err = s.DialTCP("tcp", &net.TCPAddr{IP: s.ip()}, nil)
		s.outcome("DialTCP with a local one", err)
		_, err = s.DialUDP("udp", nil, nil)
		s.outcome("DialUDP", err)
		_, err = s.Dial("tcp", "")
		s.outcome("Dial", err)
	}},
	{name: "wildcards are this computer", play: func(s *scene) {
		l := guarded(s, must(s.ListenTCP("tcp", nil)))
		port := l.Addr().(*net.TCPAddr).Port
		for _, host := range []string{"", "0.0.0.0", "[::]", s.host()} {
			c, err := s.Dial("tcp", fmt.Sprintf("%s:%d", host, port))
			s.outcome("Dial "+host, err)
			guarded(s, c)
			a := guarded(s, must(l.Accept()))
			s.tell("%v -> %v, accepted %v <- %v", c.LocalAddr(), c.RemoteAddr(), a.LocalAddr(), a.RemoteAddr())
			s.tell("%d %d", len(c.LocalAddr().(*net.TCPAddr).IP), len(a.LocalAddr().(*net.TCPAddr).IP))
		}
		c, err := s.DialTCP(s.of("tcp"), nil, &net.TCPAddr{Port: port})
		s.outcome("DialTCP without an IP", err)
		s.tell("%v -> %v", c.LocalAddr(), c.RemoteAddr())
		_ = c.Close()
	}},
	{name: "source address", only: 4, play: func(s *scene) {
		l := guarded(s, must(s.ListenTCP("tcp4", nil)))
		port := l.Addr().(*net.TCPAddr).Port
		for _, remote := range []string{"127.0.0.1", "127.0.0.2", "127.255.255.254", "127.0.0.0"} {
			c := guarded(s, must(s.Dial("tcp", fmt.Sprintf("%s:%d", remote, port))))
			a := guarded(s, must(l.Accept()))
			s.tell("%v -> %v, %v <- %v", c.LocalAddr(), c.RemoteAddr(), a.LocalAddr(), a.RemoteAddr())
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}}
		c := guarded(s, must(s.DialContext(context.Background(), &d, "tcp", fmt.Sprintf("127.0.0.3:%d", port))))
		s.tell("%v -> %v", c.LocalAddr(), c.RemoteAddr())
	}},
	{name: "one address of many", only: 4, play: func(s *scene) {
		l := guarded(s, must(s.Listen("tcp", "127.0.0.1:0")).(tcpListener))
		port := l.Addr().(*net.TCPAddr).Port
		_, err := s.Dial("tcp", fmt.Sprintf("127.0.0.2:%d", port))
		s.outcome("Dial 127.0.0.2", err)
		l2, err := s.Listen("tcp", fmt.Sprintf("127.0.0.2:%d", port))
		s.outcome("Listen 127.0.0.2", err)
		if err != nil {
			return // who else is on this machine may have the port there
		}
		defer l2.Close()
		c, err := s.Dial("tcp", fmt.Sprintf("127.0.0.2:%d", port))
		s.outcome("Dial 127.0.0.2 again", err)
		if err == nil {
			_ = c.Close()
		}
	}},
	{name: "with a zone", only: 6, play: func(s *scene) {
		_, err := s.Dial("tcp", fmt.Sprintf("[::1%%lo]:%d", s.closedTCP().Port))
		s.outcome("refused", err)
		l := guarded(s, must(s.Listen("tcp", "[::1%lo]:0")).(tcpListener))
		s.tell("%v", l.Addr())
		c, err := s.Dial("tcp", fmt.Sprintf("[::1%%lo]:%d", l.Addr().(*net.TCPAddr).Port))
		s.outcome("Dial", err)
		s.tell("%v -> %v", c.LocalAddr(), c.RemoteAddr())
		_ = c.Close()
	}},
	{name: "IPv4 in IPv6's clothes", only: 4, play: func(s *scene) {
		l := s.listener()
		port := l.Addr().(*net.TCPAddr).Port
		c := guarded(s, must(s.Dial("tcp", fmt.Sprintf("[::ffff:127.0.0.1]:%d", port))))
		s.tell("%v -> %v, %d", c.LocalAddr(), c.RemoteAddr(), len(c.RemoteAddr().(*net.TCPAddr).IP))
		_, err := s.Dial("tcp", fmt.Sprintf("[::ffff:127.0.0.1]:%d", s.closedTCP().Port))
		s.outcome("refused", err)
	}},
	{name: "IPv4 address on a network of IPv6, and the other way", play: func(s *scene) {
		for _, network := range []string{"tcp4", "tcp6"} {
			_, err := s.DialTCP(network, nil, s.closedTCP())
			s.outcome("DialTCP "+network, err)
			_, err = s.Dial(network, s.closedTCP().String())
			s.outcome("Dial "+network, err)
			l, err := s.ListenTCP(network, &net.TCPAddr{IP: s.ip()})
			s.outcome("ListenTCP "+network, err)
			if err == nil {
				_ = l.Close()
			}
		}
		for _, network := range []string{"udp4", "udp6"} {
			c, err := s.DialUDP(network, nil, s.closedUDP())
			s.outcome("DialUDP "+network, err)
			if err == nil {
				_ = c.Close()
			}
		}
	}},
}

var listenSituations = []situation{
	{name: "address in use", play: func(s *scene) {
		l := s.listener()
		_, err := s.Listen("tcp", l.Addr().String())
		s.outcome("Listen", err)
		_, err = s.ListenTCP("tcp", l.Addr().(*net.TCPAddr))
		s.outcome("ListenTCP", err)
		u := s.bound()
		_, err = s.ListenPacket("udp", u.LocalAddr().String())
		s.outcome("ListenPacket", err)
		_, err = s.ListenUDP("udp", u.LocalAddr().(*net.UDPAddr))
		s.outcome("ListenUDP", err)
	}},
	{name: "wildcard and specific in each other's way", play: func(s *scene) {
		l := s.listener()
		port := l.Addr().(*net.TCPAddr).Port
		for _, network := range []string{"tcp", "tcp4", "tcp6"} {
			w, err := s.Listen(network, fmt.Sprintf(":%d", port))
			s.outcome("wildcard after specific, "+network, err)
			if err == nil {
				_ = w.Close()
			}
		}
		_ = l.Close()
		for _, network := range []string{"tcp", "tcp4", "tcp6"} {
			w := must(s.Listen(network, fmt.Sprintf(":%d", port)))
			l, err := s.Listen("tcp", fmt.Sprintf("%s:%d", s.host(), port))
			s.outcome("specific after wildcard, "+network, err)
			if err == nil {
				_ = l.Close()
			}
			_ = w.Close()
		}
	}},
	{name: "wildcards of two families", only: 4, play: func(s *scene) {
		for _, first := range []string{"tcp", "tcp4", "tcp6"} {
			for _, second := range []string{"tcp", "tcp4", "tcp6"} {
				s.otherPorts()
				a := must(s.Listen(first, ":0"))
				b, err := s.Listen(second, fmt.Sprintf(":%d", a.Addr().(*net.TCPAddr).Port))
				s.outcome(first+" then "+second, err)
				if err == nil {
					_ = b.Close()
				}
				_ = a.Close()
			}
		}
		for _, first := range []string{"udp", "udp4", "udp6"} {
			for _, second := range []string{"udp", "udp4", "udp6"} {
				s.otherPorts()
				a := must(s.ListenPacket(first, ":0"))
				b, err := s.ListenPacket(second, fmt.Sprintf(":%d", a.LocalAddr().(*net.UDPAddr).Port))
				s.outcome(first+" then "+second, err)
				if err == nil {
					_ = b.Close()
				}
				_ = a.Close()
			}
		}
	}},
	{name: "port of a connection that outlives its listener", play: func(s *scene) {
		l := s.listener()
		client, server := s.connect(l)
		_ = l.Close()
		again, err := s.Listen("tcp", l.Addr().String())
		s.outcome("Listen beside the connection", err)
		if err == nil {
			_ = again.Close()
		}
		_ = server.Close() // the server closes first: TIME-WAIT is on its side
		s.read(client, 1)
		_ = client.Close()
		again, err = s.Listen("tcp", l.Addr().String())
		s.outcome("Listen beside TIME-WAIT", err)
		if err == nil {
			_ = again.Close()
		}
		_, err = s.Listen("tcp", client.LocalAddr().String())
		s.outcome("Listen where the client was", err)
	}},
	{name: "not local", play: func(s *scene) {
		host, ip := "198.51.100.1", net.IPv4(198, 51, 100, 1)
		if s.family == 6 {
			host, ip = "[2001:db8::1]", net.ParseIP("2001:db8::1")
		}
		_, err := s.Listen("tcp", host+":0")
		s.outcome("Listen", err)
		_, err = s.ListenTCP("tcp", &net.TCPAddr{IP: ip, Port: 80})
		s.outcome("ListenTCP", err)
		_, err = s.ListenPacket("udp", host+":0")
		s.outcome("ListenPacket", err)
		_, err = s.ListenUDP(s.of("udp"), &net.UDPAddr{IP: ip})
		s.outcome("ListenUDP", err)
	}},
	{name: "addresses of listeners", play: func(s *scene) {
		for _, address := range []string{"", ":0", "0.0.0.0:0", "[::]:0", s.host() + ":0"} {
			for _, network := range []string{"tcp", s.of("tcp")} {
				s.otherPorts()
				l, err := s.Listen(network, address)
				if err != nil {
					s.outcome(network+" "+address, err)
					continue
				}
				s.tell("%s %s: %v %s %d", network, address, l.Addr(), l.Addr().Network(), len(l.Addr().(*net.TCPAddr).IP))
				_ = l.Close()
			}
			for _, network := range []string{"udp", s.of("udp")} {
				s.otherPorts()
				c, err := s.ListenPacket(network, address)
				if err != nil {
					s.outcome(network+" "+address, err)
					continue
				}
				s.tell("%s %s: %v %s %d", network, address, c.LocalAddr(), c.LocalAddr().Network(), len(c.LocalAddr().(*net.UDPAddr).IP))
				_ = c.Close()
			}
		}
	}},
	{name: "nil addresses", only: 4, play: func(s *scene) {
		l, err := s.ListenTCP("tcp", nil)
		s.outcome("ListenTCP", err)
		s.tell("%v", l.Addr())
		_ = l.Close()
		s.otherPorts()
		c, err := s.ListenUDP("udp", nil)
		s.outcome("ListenUDP", err)
		s.tell("%v %v", c.LocalAddr(), c.RemoteAddr())
		_ = c.Close()
		s.otherPorts()
		c, err = s.ListenUDP("udp4", nil)
		s.outcome("ListenUDP", err)
		s.tell("%v", c.LocalAddr())
		_ = c.Close()
	}},
	{name: "a context that has ended does not matter to an address", play: func(s *scene) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		l, err := s.ListenContext(ctx, "tcp", s.host()+":0")
		s.outcome("Listen", err)
		_ = l.Close()
		_, err = s.ListenContext(ctx, "tcp", "localhost:0")
		s.outcome("Listen localhost", err)
	}},
	{name: "wrong kind of network", play: func(s *scene) {
		for _, network := range []string{"udp", "udp4", "tcpx", "", "ip", "TCP"} {
			_, err := s.Listen(network, "127.0.0.1:0")
			s.outcome("Listen "+network, err)
			_, err = s.ListenTCP(network, &net.TCPAddr{IP: s.ip()})
			s.outcome("ListenTCP "+network, err)
			_, err = s.DialTCP(network, nil, &net.TCPAddr{IP: s.ip(), Port: 9})
			s.outcome("DialTCP "+network, err)
			_, err = s.DialTCP(network, &net.TCPAddr{IP: s.ip()}, nil)
			s.outcome("DialTCP to nothing "+network, err)
		}
		for _, network := range []string{"tcp", "tcp6", "udpx", "", "ip4"} {
			_, err := s.ListenPacket(network, "[::1]:0")
			s.outcome("ListenPacket "+network, err)
			_, err = s.ListenUDP(network, &net.UDPAddr{IP: s.ip()})
			s.outcome("ListenUDP "+network, err)
			_, err = s.ListenUDP(network, nil)
			s.outcome("ListenUDP "+network, err)
			_, err = s.DialUDP(network, nil, &net.UDPAddr{IP: s.ip(), Port: 9})
			s.outcome("DialUDP "+network, err)
		}
	}},
}

// addressSituations: no address below gets as far as a socket or a name server.
var addressSituations = func() []situation {
	var all []situation
	for _, c := range []struct{ network, address string }{
		{"tcp", "127.0.0.1"}, {"tcp", "[::1]"}, {"tcp", "::1"}, {"tcp", "a:b:c"}, {"tcp", "[::1:80"}, {"tcp", "[::1]80"},
		{"tcp", "[a]b]:80"}, {"tcp", "a]:80"}, {"tcp", "a[b:80"}, {"tcp", "127.0.0.1:65536"}, {"tcp", "127.0.0.1:-1"},
		{"tcp", "127.0.0.1:no-such-service"}, {"udp", "127.0.0.1:99999999999"}, {"tcp", "no..such:80"}, {"tcp", "-x:80"},
		{"tcp", "127.1:80"}, {"tcp", "1.2.3.4.5:80"}, {"tcp", "127.0.0.1%lo:80"}, {"tcp4", "[::1]:80"},
		{"tcp6", "127.0.0.1:80"}, {"udp6", "[::ffff:127.0.0.1]:80"}, {"ip4:icmp", "::1"}, {"ip4:icmp", ""}, {"ip4", "127.0.0.1"},
		{"tcp7", "127.0.0.1:80"}, {"sctp", "127.0.0.1:80"}, {"", "127.0.0.1:80"}, {"tcp:80", "127.0.0.1"}, {"ip4:nosuch", "127.0.0.1"},
	} {
		all = append(all, situation{name: "address " + c.network + " " + c.address, only: 4, play: func(s *scene) {
			_, err := s.Dial(c.network, c.address)
			s.outcome("Dial", err)
			if c.address == "" {
				return
			}
			_, err = s.Listen(c.network, c.address)
			s.outcome("Listen", err)
			_, err = s.ListenPacket(c.network, c.address)
			s.outcome("ListenPacket", err)
		}})
	}
	return all
}()

// errCanceled is package net's own value, as a program that compares with == gets it.
func errCanceled() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:1")
	return errors.Unwrap(err)
}

// TestDialTimeoutsAreBothOfPackageNets: package net reports one of two errors. Ours is both, always.
func TestDialTimeoutsAreBothOfPackageNets(t *testing.T) {
	api := newStackAPI(t, socket.Config{SoMaxConn: 1})
	l, err := api.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	for range 2 {
		c, err := api.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	for name, dial := range map[string]func() (net.Conn, error){
		"already late": func() (net.Conn, error) {
			return api.DialContext(context.Background(), &net.Dialer{Deadline: past()}, "tcp", "127.0.0.1:9")
		},
		"Timeout": func() (net.Conn, error) { return api.DialTimeout("tcp", l.Addr().String(), 5*time.Millisecond) },
		"Deadline": func() (net.Conn, error) {
			return api.DialContext(context.Background(), &net.Dialer{Deadline: time.Now().Add(5 * time.Millisecond)}, "tcp", l.Addr().String())
		},
		"context": func() (net.Conn, error) { return api.DialContext(ctx, &net.Dialer{}, "tcp", l.Addr().String()) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := dial()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.NotErrorIs(t, err, context.Canceled)
			require.True(t, err.(net.Error).Timeout())
			require.True(t, err.(*net.OpError).Temporary())
			require.Contains(t, err.Error(), "i/o timeout")
		})
	}
}

// TestLocalhostIsTriedInOrder: this machine's own hosts table may have one localhost only, so there is no oracle.
func TestLocalhostIsTriedInOrder(t *testing.T) {
	api := newStackAPI(t, socket.Config{})
	l4, err := api.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	defer l4.Close()
	port := l4.Addr().(*net.TCPAddr).Port
	require.Equal(t, "127.0.0.1", l4.Addr().(*net.TCPAddr).IP.String(), "Listen takes IPv4 first")

	c, err := api.Dial("tcp", fmt.Sprintf("localhost:%d", port))
	require.NoError(t, err, "::1 refuses, then 127.0.0.1 answers")
	require.Equal(t, fmt.Sprintf("127.0.0.1:%d", port), c.RemoteAddr().String())
	require.NoError(t, c.Close())

	l6, err := api.Listen("tcp6", fmt.Sprintf("localhost:%d", port))
	require.NoError(t, err)
	c, err = api.Dial("tcp", fmt.Sprintf("localhost:%d", port))
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("[::1]:%d", port), c.RemoteAddr().String(), "Dial takes ::1 first")
	require.NoError(t, c.Close())
	require.NoError(t, l6.Close())
	require.NoError(t, l4.Close())

	_, err = api.Dial("tcp", fmt.Sprintf("localhost:%d", port))
	require.EqualError(t, err, fmt.Sprintf("dial tcp [::1]:%d: connect: connection refused", port), "the first address's error")
}
