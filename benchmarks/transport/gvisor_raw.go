package transport

import (
	"errors"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// rawPort is where packets that come from outside are addressed to.
const rawPort = 5353

// gvisorRaw injects packets into a channel endpoint, gVisor's link for raw packets.
type gvisorRaw struct {
	stack  *stack.Stack
	link   *channel.Endpoint
	socket *gvisorUDP
	packet []byte
}

func (gvisor) RawUDP(payload int) (RawPath, error) {
	link := channel.New(256, 16436, "")
	s, err := GVisorStack(link, rawLocal(), 32)
	if err != nil {
		return nil, err
	}
	socket, err := openGVisorUDP(s, tcpip.FullAddress{
		NIC: gvisorNIC, Addr: tcpip.AddrFrom4(rawLocal()), Port: rawPort,
	}, nil)
	if err != nil {
		s.Destroy()
		return nil, err
	}
	return &gvisorRaw{s, link, socket, RawPacket(payload)}, nil
}

func (r *gvisorRaw) Inject() error {
	if !r.link.IsAttached() {
		return errors.New("gvisor: link is not attached")
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(r.packet)})
	r.link.InjectInbound(ipv4.ProtocolNumber, p)
	p.DecRef()
	return nil
}

func (r *gvisorRaw) Recv(p []byte) (int, error) { return r.socket.Recv(p) }

func (r *gvisorRaw) Close() error {
	_ = r.socket.Close()
	r.link.Close()
	r.stack.Destroy()
	return nil
}
