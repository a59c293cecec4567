package transport

import (
	"net"
	"time"

	piontransport "github.com/pion/transport/v4"
	"github.com/pion/transport/v4/vnet"
)

// vnetNet is pion's virtual network. It carries UDP only; between two sockets of one Net, over
// its loopback interface, a datagram takes its shortest way: no router goroutine.
type vnetNet struct{ net *vnet.Net }

func newVNet(o Options) (Transport, error) {
	if o.Checksums {
		return nil, ErrUnsupported
	}
	n, err := vnet.NewNet(&vnet.NetConfig{})
	if err != nil {
		return nil, err
	}
	return vnetNet{n}, nil
}

func (vnetNet) Listen() (net.Listener, error)            { return nil, ErrUnsupported }
func (vnetNet) Dial(net.Listener, int) (net.Conn, error) { return nil, ErrUnsupported }
func (vnetNet) RawUDP(int) (RawPath, error)              { return nil, ErrUnsupported }
func (vnetNet) Close() error                             { return nil }

func (v vnetNet) Datagrams() (tx, rx Datagram, err error) {
	// vnet writes the port it chooses into the address it is given: each socket needs its own.
	local := func() *net.UDPAddr { return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)} }
	r, err := v.net.ListenUDP("udp4", local())
	if err != nil {
		return nil, nil, err
	}
	t, err := v.net.DialUDP("udp4", local(), r.LocalAddr().(*net.UDPAddr))
	if err != nil {
		_ = r.Close()
		return nil, nil, err
	}
	return vnetConn{t}, vnetConn{r}, nil
}

type vnetConn struct{ c piontransport.UDPConn }

func (c vnetConn) Send(p []byte) error {
	_, err := c.c.Write(p)
	return err
}

func (c vnetConn) Recv(p []byte) (int, error) {
	n, _, err := c.c.ReadFrom(p)
	return n, err
}

func (c vnetConn) SetReadDeadline(t time.Time) error { return c.c.SetReadDeadline(t) }
func (c vnetConn) Close() error                      { return c.c.Close() }
