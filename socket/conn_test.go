package socket_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/loopback/socket"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"
)

// Both package net's types and ours have the methods that programs expect on the concrete types.
var (
	_ tcpConn     = (*net.TCPConn)(nil)
	_ tcpConn     = (*socket.TCPConn)(nil)
	_ tcpListener = (*net.TCPListener)(nil)
	_ tcpListener = (*socket.TCPListener)(nil)
	_ udpConn     = (*net.UDPConn)(nil)
	_ udpConn     = (*socket.UDPConn)(nil)

	_ interface {
		AcceptTCP() (*socket.TCPConn, error)
	} = (*socket.TCPListener)(nil)
	_ interface {
		net.Conn
		net.PacketConn
		ReadFromIP(b []byte) (int, *net.IPAddr, error)
		WriteToIP(b []byte, addr *net.IPAddr) (int, error)
	} = (*socket.IPConn)(nil)
)

// TestMethodsOfPackageNet compares whole method sets: whatever package net's types get one day, ours are to have, but
// for what only makes sense with a file descriptor.
func TestMethodsOfPackageNet(t *testing.T) {
	for _, c := range []struct {
		theirs, ours any
		without      []string
	}{
		{(*net.TCPConn)(nil), (*socket.TCPConn)(nil), []string{"SyscallConn", "File", "MultipathTCP"}},
		{(*net.TCPListener)(nil), (*socket.TCPListener)(nil), []string{"SyscallConn"}},
		{(*net.UDPConn)(nil), (*socket.UDPConn)(nil), []string{"SyscallConn", "File"}},
		{(*net.IPConn)(nil), (*socket.IPConn)(nil), []string{"SyscallConn", "File", "ReadMsgIP", "WriteMsgIP"}},
	} {
		theirs, ours := reflect.TypeOf(c.theirs), reflect.TypeOf(c.ours)
		t.Run(ours.String(), func(t *testing.T) {
			for m := range theirs.Methods() {
				o, found := ours.MethodByName(m.Name)
				if slices.Contains(c.without, m.Name) {
					continue
				}
				require.True(t, found, "%s", m.Name)
				signature := strings.ReplaceAll(m.Type.String(), "*net."+theirs.Elem().Name(), "")
				if m.Name != "AcceptTCP" {
					require.Equal(t, signature, strings.ReplaceAll(o.Type.String(), "*socket."+ours.Elem().Name(), ""), "%s", m.Name)
				}
			}
			_, found := ours.MethodByName("SyscallConn")
			require.False(t, found, "libraries take SyscallConn as the promise of a file descriptor")
		})
	}
}

// TestConn is the suite that every net.Conn has to pass.
func TestConn(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			s := socket.New(socket.Config{})
			defer s.Close()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) { return pipe(s, network) })
			require.Zero(t, s.OpenSockets(), "the suite closes what it opens")
		})
	}
}

// pipe makes a connection over loopback.
func pipe(s *socket.Stack, network string) (c1, c2 net.Conn, stop func(), err error) {
	l, err := s.Listen(network, loopbackOf(network))
	if err != nil {
		return nil, nil, nil, err
	}
	defer l.Close()
	if c1, err = s.Dial(network, l.Addr().String()); err != nil {
		return nil, nil, nil, err
	}
	if c2, err = l.Accept(); err != nil {
		_ = c1.Close()
		return nil, nil, nil, err
	}
	return c1, c2, func() { _, _ = c1.Close(), c2.Close() }, nil
}

// TestConnBulk sends much data both ways at once and finds it unharmed.
func TestConnBulk(t *testing.T) {
	for _, network := range []string{"tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			s := socket.New(socket.Config{})
			defer s.Close()
			a, b, stop, err := pipe(s, network)
			require.NoError(t, err)
			defer stop()
			var wg sync.WaitGroup
			for i, c := range []net.Conn{a, b} {
				wg.Go(func() {
					for j := range 100 {
						if _, err := c.Write(packet(1000*i+j, 100_000+j)); err != nil {
							t.Errorf("Write: %v", err)
							return
						}
					}
					_ = c.(tcpConn).CloseWrite()
				})
				wg.Go(func() {
					for j := range 100 {
						want := packet(1000*(1-i)+j, 100_000+j)
						got := make([]byte, len(want))
						if _, err := io.ReadFull(c, got); err != nil || !slices.Equal(want, got) {
							t.Errorf("message %d: %v", j, err)
							return
						}
					}
					if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("at the end: %d, %v", n, err)
					}
				})
			}
			wg.Wait()
			requireBalance(t, s)
		})
	}
}

// TestManyConnections: connections do not mix, whether there are many or they come and go.
func TestManyConnections(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	l, err := s.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	var server sync.WaitGroup
	server.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			server.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			for j := range 20 {
				if err := echoOnce(s, l.Addr().String(), fmt.Sprintf("client %d, connection %d", i, j)); err != nil {
					t.Errorf("client %d, connection %d: %v", i, j, err)
				}
			}
		})
	}
	clients.Wait()
	require.NoError(t, l.Close())
	server.Wait()
	require.Zero(t, s.OpenSockets())
}

func echoOnce(s *socket.Stack, address, text string) error {
	c, err := s.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	if err := c.(tcpConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if err == nil && string(got) != text {
		err = fmt.Errorf("got %q back", got)
	}
	return err
}

// TestAcceptTCP: the listener's typed methods.
func TestAcceptTCP(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	l, err := s.ListenTCP("tcp4", nil)
	require.NoError(t, err)
	defer l.Close()
	d := socket.Dialer{Stack: s, Timeout: patience}
	c, err := d.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", l.Addr().(*net.TCPAddr).Port))
	require.NoError(t, err)
	defer c.Close()
	a, err := l.AcceptTCP()
	require.NoError(t, err)
	require.Equal(t, c.LocalAddr().String(), a.RemoteAddr().String())
	require.NoError(t, a.Close())
	_, err = l.File()
	require.Error(t, err, "there is no file descriptor to give away")
}

// TestSteadyStateDoesNotAllocate: the promise of the concrete types, for the steady state of a connection.
func TestSteadyStateDoesNotAllocate(t *testing.T) {
	if underRace {
		t.Skip("the race detector allocates")
	}
	s := socket.New(socket.Config{})
	defer s.Close()
	a, b, stop, err := pipe(s, "tcp4")
	require.NoError(t, err)
	defer stop()
	buf := make([]byte, 1<<16)
	for _, size := range []int{1, 1000, 16384, 1 << 16} {
		tcp := func() {
			if _, err := a.Write(buf[:size]); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(b, buf[:size]); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			tcp() // pools fill
		}
		require.Zero(t, testing.AllocsPerRun(200, tcp), "TCP write and read of %d bytes", size)
	}
	u, err := s.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	to := u.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, size := range []int{1, 1000, 16408, 60000} {
		udp := func() {
			if _, err := u.WriteToUDPAddrPort(buf[:size], to); err != nil {
				t.Fatal(err)
			}
			if _, _, err := u.ReadFromUDPAddrPort(buf); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			udp()
		}
		budget := 0.0
		if size > 16408 {
			budget = 1 // fragments are put together in fresh memory
		}
		require.LessOrEqual(t, testing.AllocsPerRun(200, udp), budget, "UDP write and read of %d bytes", size)
	}
	require.NoError(t, u.Close())
}

// TestNothingStays: after everything is closed, no goroutine and no open socket is left.
func TestNothingStays(t *testing.T) {
	before := runtime.NumGoroutine()
	s := socket.New(socket.Config{})
	for range 10 {
		a, b, stop, err := pipe(s, "tcp")
		require.NoError(t, err)
		_, err = a.Write([]byte("x"))
		require.NoError(t, err)
		_, err = b.Read(make([]byte, 1))
		require.NoError(t, err)
		require.LessOrEqual(t, runtime.NumGoroutine(), before, "no goroutine of ours, ever")
		stop()
	}
	require.Zero(t, s.OpenSockets())
	require.NoError(t, s.Close())
}

// TestCloseStackUnblocks: closing the computer closes everything on it.
func TestCloseStackUnblocks(t *testing.T) {
	s := socket.New(socket.Config{})
	l, err := s.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	_, err = s.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	u, err := s.ListenPacket("udp", "localhost:0")
	require.NoError(t, err)
	a, err := l.Accept()
	require.NoError(t, err)
	var wg sync.WaitGroup
	for name, block := range map[string]func() error{
		"Accept":   func() error { _, err := l.Accept(); return err },
		"Read":     func() error { _, err := a.Read(make([]byte, 1)); return err }, // nobody writes to a
		"Write":    func() error { _, err := io.Copy(a, endless{}); return err },
		"ReadFrom": func() error { _, _, err := u.ReadFrom(make([]byte, 1)); return err },
	} {
		wg.Go(func() {
			if err := block(); err == nil {
				t.Errorf("%s: no error", name)
			}
		})
	}
	require.NoError(t, s.Close())
	wg.Wait()
	_, err = s.Dial("tcp", "localhost:1")
	require.Error(t, err)
	_, err = s.Listen("tcp", "localhost:0")
	require.Error(t, err)
}

// TestNamesOfUsers: names that users add work in Dial and Listen, and unknown ones say so.
func TestNamesOfUsers(t *testing.T) {
	s := socket.New(socket.Config{Hosts: "127.0.0.1 loopback"})
	defer s.Close()
	require.NoError(t, s.Hosts().Add(netip.MustParseAddr("127.0.0.7"), "seven"))
	l, err := s.Listen("tcp", "seven:ipp")
	require.NoError(t, err)
	defer l.Close()
	require.Equal(t, "127.0.0.7:631", l.Addr().String())
	c, err := s.Dial("tcp", "SEVEN:631")
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", c.LocalAddr().(*net.TCPAddr).IP.String())
	require.NoError(t, c.Close())
	_, err = s.Dial("tcp", "loopback:631")
	require.EqualError(t, err, "dial tcp 127.0.0.1:631: connect: connection refused")
	_, err = s.Dial("tcp", "nobody:631")
	require.EqualError(t, err, "dial tcp: lookup nobody: no such host")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	require.True(t, dns.IsNotFound)
	addrs, err := s.Resolver().LookupHost(context.Background(), "localhost")
	require.NoError(t, err)
	require.Equal(t, []string{"127.0.0.1", "::1"}, addrs)
}

// TestLoDown: with lo down nothing works, and it comes back.
func TestLoDown(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	l, err := s.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	defer l.Close()
	a, b, stop, err := pipe(s, "tcp")
	require.NoError(t, err)
	defer stop()
	s.NIC().SetUp(false)
	_, err = s.DialTimeout("tcp", l.Addr().String(), patience)
	require.EqualError(t, err, fmt.Sprintf("dial tcp %s: connect: network is unreachable", l.Addr()))
	_, err = s.Dial("udp", "127.0.0.1:9")
	require.EqualError(t, err, "dial udp 127.0.0.1:9: connect: network is unreachable")
	_, err = a.Write([]byte("delayed"))
	require.NoError(t, err, "TCP keeps what it cannot send")
	require.NoError(t, b.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
	_, err = b.Read(make([]byte, 100))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	s.NIC().SetUp(true)
	require.NoError(t, b.SetReadDeadline(time.Now().Add(patience)))
	got := make([]byte, 7)
	_, err = io.ReadFull(b, got)
	require.NoError(t, err)
	require.Equal(t, "delayed", string(got), "retransmitted")
	c, err := s.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, c.Close())
}
