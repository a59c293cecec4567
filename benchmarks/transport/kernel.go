package transport

import (
	"net"
	"net/netip"
	"time"
)

// datagramBuffer is the receive buffer that datagram sockets ask for: a window of 128 datagrams
// of 16 KiB, and what a stack accounts beside the payload.
const datagramBuffer = 8 << 20

// kernel is the operating system's own loopback.
type kernel struct{}

func newKernel(o Options) (Transport, error) {
	if o.Checksums {
		return nil, ErrUnsupported // lo never checks
	}
	return kernel{}, nil
}

func (kernel) Listen() (net.Listener, error) {
	return net.ListenTCP("tcp4", &net.TCPAddr{}) // on every address of 127.0.0.0/8
}

func (kernel) Dial(l net.Listener, host int) (net.Conn, error) {
	a := hostAddr(host)
	port := l.Addr().(*net.TCPAddr).Port
	return net.DialTCP("tcp4", nil, &net.TCPAddr{IP: a[:], Port: port})
}

func (kernel) Datagrams() (tx, rx Datagram, err error) {
	local := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	r, err := net.ListenUDP("udp4", local)
	if err != nil {
		return nil, nil, err
	}
	t, err := net.ListenUDP("udp4", local)
	if err != nil {
		_ = r.Close()
		return nil, nil, err
	}
	growReceiveBuffer(r, datagramBuffer)
	to := r.LocalAddr().(*net.UDPAddr).AddrPort()
	return kernelUDP{t, netip.AddrPortFrom(to.Addr().Unmap(), to.Port())}, kernelUDP{r, netip.AddrPort{}}, nil
}

func (kernel) RawUDP(int) (RawPath, error) { return nil, ErrUnsupported }
func (kernel) Close() error                { return nil }

type kernelUDP struct {
	c  *net.UDPConn
	to netip.AddrPort
}

func (k kernelUDP) Send(p []byte) error {
	_, err := k.c.WriteToUDPAddrPort(p, k.to)
	return err
}

func (k kernelUDP) Recv(p []byte) (int, error) {
	n, _, err := k.c.ReadFromUDPAddrPort(p)
	return n, err
}

func (k kernelUDP) SetReadDeadline(t time.Time) error { return k.c.SetReadDeadline(t) }
func (k kernelUDP) Close() error                      { return k.c.Close() }
