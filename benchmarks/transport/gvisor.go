package transport

import (
	"errors"
	"fmt"
	"net"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/loopback"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const gvisorNIC = 1

// gvisor is gVisor's netstack with one loopback interface.
type gvisor struct{ stack *stack.Stack }

// newGVisor returns the constructor for a loopback link of the given MTU.
func newGVisor(mtu uint32) func(Options) (Transport, error) {
	return func(o Options) (Transport, error) {
		if o.Checksums {
			return nil, ErrUnsupported // netstack computes none on a local route, whatever the link says
		}
		link := loopback.New()
		link.SetMTU(mtu)
		s, err := GVisorStack(link, hostAddr(0), 8)
		if err != nil {
			return nil, err
		}
		return gvisor{s}, nil
	}
}

// GVisorStack makes a netstack with one interface on link, one IPv4 address, a default route, and
// the settings that the comparison uses: SACK on, receive buffers tuned by the stack. Tests of
// interoperation use it too.
func GVisorStack(link stack.LinkEndpoint, addr [4]byte, prefixLen int) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := configureGVisor(s, link, addr, prefixLen); err != nil {
		s.Destroy()
		return nil, err
	}
	return s, nil
}

func configureGVisor(s *stack.Stack, link stack.LinkEndpoint, addr [4]byte, prefixLen int) error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &sack); err != nil {
		return fmt.Errorf("gvisor: SACK: %v", err)
	}
	if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, &moderate); err != nil {
		return fmt.Errorf("gvisor: buffer moderation: %v", err)
	}
	// Datagram sockets take their receive buffer from here.
	buffers := tcpip.ReceiveBufferSizeOption{Min: 4 << 10, Default: datagramBuffer, Max: datagramBuffer}
	if err := s.SetOption(buffers); err != nil {
		return fmt.Errorf("gvisor: receive buffers: %v", err)
	}
	if err := s.CreateNIC(gvisorNIC, link); err != nil {
		return fmt.Errorf("gvisor: NIC: %v", err)
	}
	local := tcpip.ProtocolAddress{
		Protocol: ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{
			Address: tcpip.AddrFrom4(addr), PrefixLen: prefixLen,
		},
	}
	if err := s.AddProtocolAddress(gvisorNIC, local, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("gvisor: address: %v", err)
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: gvisorNIC}})
	return nil
}

func (g gvisor) Listen() (net.Listener, error) {
	return gonet.ListenTCP(g.stack, tcpip.FullAddress{NIC: gvisorNIC}, ipv4.ProtocolNumber)
}

func (g gvisor) Dial(l net.Listener, host int) (net.Conn, error) {
	return gonet.DialTCP(g.stack, tcpip.FullAddress{
		NIC:  gvisorNIC,
		Addr: tcpip.AddrFrom4(hostAddr(host)),
		Port: uint16(l.Addr().(*net.TCPAddr).Port),
	}, ipv4.ProtocolNumber)
}

// Packets counts what left the IP layer.
func (g gvisor) Packets() uint64 { return g.stack.Stats().IP.PacketsSent.Value() }

func (g gvisor) Close() error {
	g.stack.Destroy()
	return nil
}

func (g gvisor) Datagrams() (tx, rx Datagram, err error) {
	local := tcpip.FullAddress{NIC: gvisorNIC, Addr: tcpip.AddrFrom4(hostAddr(0))}
	r, err := openGVisorUDP(g.stack, local, nil)
	if err != nil {
		return nil, nil, err
	}
	to, terr := r.ep.GetLocalAddress()
	if terr != nil {
		_ = r.Close()
		return nil, nil, errors.New(terr.String())
	}
	t, err := openGVisorUDP(g.stack, local, &to)
	if err != nil {
		_ = r.Close()
		return nil, nil, err
	}
	return t, r, nil
}

// gvisorUDP is a gonet socket: connected when it sends, unconnected when it receives.
type gvisorUDP struct {
	*gonet.UDPConn
	ep tcpip.Endpoint
}

func openGVisorUDP(s *stack.Stack, local tcpip.FullAddress, remote *tcpip.FullAddress) (*gvisorUDP, error) {
	var wq waiter.Queue
	ep, terr := s.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &wq)
	if terr != nil {
		return nil, errors.New(terr.String())
	}
	if terr := ep.Bind(local); terr != nil {
		ep.Close()
		return nil, errors.New(terr.String())
	}
	if remote != nil {
		if terr := ep.Connect(*remote); terr != nil {
			ep.Close()
			return nil, errors.New(terr.String())
		}
	}
	return &gvisorUDP{gonet.NewUDPConn(&wq, ep), ep}, nil
}

func (c *gvisorUDP) Send(p []byte) error {
	_, err := c.Write(p)
	return err
}

func (c *gvisorUDP) Recv(p []byte) (int, error)        { return c.Read(p) }
func (c *gvisorUDP) SetReadDeadline(t time.Time) error { return c.UDPConn.SetReadDeadline(t) }
