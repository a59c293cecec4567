package transport

import (
	"net"
	"net/netip"
	"runtime"
	"time"

	"example.com/loopback/device"
	"example.com/loopback/socket"
)

// lo is the stack of this repository, with a queue for each core, as drivers of network
// cards set them up.
type lo struct{ stack *socket.Stack }

func newLoopback(o Options) (Transport, error) {
	s, err := socket.NewChecked(socket.Config{
		Queues:          runtime.GOMAXPROCS(0),
		VerifyChecksums: o.Checksums,
	})
	if err != nil {
		return nil, err
	}
	return lo{s}, nil
}

func (t lo) Listen() (net.Listener, error) {
	return t.stack.ListenTCP("tcp4", &net.TCPAddr{}) // on every address of 127.0.0.0/8
}

func (t lo) Dial(l net.Listener, host int) (net.Conn, error) {
	a := hostAddr(host)
	port := l.Addr().(*net.TCPAddr).Port
	return t.stack.DialTCP("tcp4", nil, &net.TCPAddr{IP: a[:], Port: port})
}

// Packets counts what the NIC transmitted.
func (t lo) Packets() uint64 { return t.stack.NIC().Counters().TX.Packets }

func (t lo) Close() error { return t.stack.Close() }

func (t lo) Datagrams() (tx, rx Datagram, err error) {
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	r, err := t.stack.ListenUDP("udp4", local)
	if err != nil {
		return nil, nil, err
	}
	s, err := t.stack.ListenUDP("udp4", local)
	if err != nil {
		_ = r.Close()
		return nil, nil, err
	}
	if err := r.SetReadBuffer(datagramBuffer); err != nil {
		_, _ = r.Close(), s.Close()
		return nil, nil, err
	}
	to := r.LocalAddr().(*net.UDPAddr).AddrPort()
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	return loUDP{s, to}, loUDP{r, netip.AddrPort{}}, nil
}

type loUDP struct {
	c  *socket.UDPConn
	to netip.AddrPort
}

func (u loUDP) Send(p []byte) error {
	_, err := u.c.WriteToUDPAddrPort(p, u.to)
	return err
}

func (u loUDP) Recv(p []byte) (int, error) {
	n, _, err := u.c.ReadFromUDPAddrPort(p)
	return n, err
}

func (u loUDP) SetReadDeadline(t time.Time) error { return u.c.SetReadDeadline(t) }
func (u loUDP) Close() error                      { return u.c.Close() }

// loRaw injects packets into the NIC on an open wire.
type loRaw struct {
	stack  *socket.Stack
	socket *socket.UDPConn
	packet []byte
}

func (lo) RawUDP(payload int) (RawPath, error) {
	s, err := socket.NewChecked(socket.Config{Link: device.NewPort(256)})
	if err != nil {
		return nil, err
	}
	local := netip.AddrFrom4(rawLocal())
	if err := s.NIC().AddAddr(netip.PrefixFrom(local, 32)); err != nil {
		return nil, err
	}
	c, err := s.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, rawPort)))
	if err != nil {
		return nil, err
	}
	return &loRaw{s, c, RawPacket(payload)}, nil
}

func (r *loRaw) Inject() error {
	return r.stack.NIC().Inject(0, r.packet) // the time is for taps, and there are none
}

func (r *loRaw) Recv(p []byte) (int, error) {
	n, _, err := r.socket.ReadFromUDPAddrPort(p)
	return n, err
}

func (r *loRaw) Close() error {
	_ = r.socket.Close()
	return r.stack.Close()
}
