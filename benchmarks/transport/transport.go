// Package transport puts everything that is compared behind one interface, so that each workload
// is written once and every peer runs exactly the same one.
//
//	peer, _ := transport.Find("net.Pipe")
//	t, _ := peer.New(transport.Options{})
//	defer t.Close()
//	l, _ := t.Listen()
//	client, server, _ := transport.Connect(t, l, 0)
//
// Each adapter uses what its peer does best (the cheapest calls of its documented API) and
// changes nothing of what the peer does: no batching, no caching, no buffering of its own.
package transport

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// ErrUnsupported is what an adapter answers for what its peer does not have.
var ErrUnsupported = errors.ErrUnsupported

// Transport is one instance of a peer: a network that reaches itself. Its methods may be called
// concurrently.
type Transport interface {
	// Listen opens a stream listener at an address of the transport's choice.
	Listen() (net.Listener, error)
	// Dial connects to a listener of this transport. Transports with addresses reach the same
	// listener at several of them, chosen by host, so that the number of connections is not
	// bounded by one address's ports; the others ignore it.
	Dial(l net.Listener, host int) (net.Conn, error)
	// Datagrams opens two datagram sockets: what tx sends, rx receives.
	Datagrams() (tx, rx Datagram, err error)
	// RawUDP prepares the path of a packet that comes from outside: raw IP packets that carry
	// payload bytes of UDP, for a socket that reads them.
	RawUDP(payload int) (RawPath, error)
	// Close releases everything. Connections must be closed before.
	Close() error
}

// PacketCounter is what a Transport also is when it can tell how many IP packets it has sent.
type PacketCounter interface{ Packets() uint64 }

// Datagram is one end of a datagram socket. Send and Recv may run concurrently.
type Datagram interface {
	Send(p []byte) error
	Recv(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
	Close() error
}

// RawPath is a network device from its outer side, and one socket behind it.
type RawPath interface {
	// Inject hands one raw IP packet to the device.
	Inject() error
	// Recv reads one datagram at the socket.
	Recv(p []byte) (int, error)
	Close() error
}

// Options vary a transport. A peer that cannot do what an option asks answers ErrUnsupported.
type Options struct {
	// Checksums makes the transport compute and verify transport checksums on its loopback path,
	// where peers usually leave them out.
	Checksums bool
}

// Peer is one kind of transport.
type Peer struct {
	Name  string // as flags and tables spell it
	About string // one sentence: what is measured
	New   func(Options) (Transport, error)
	// Outside says that its memory is not on this process's heap.
	Outside bool
	// Stack says that it makes a whole network stack, whose making is worth a measurement.
	Stack bool
}

// Peers returns every peer, in the order of the tables.
func Peers() []Peer {
	return []Peer{
		{Name: "kernel", About: "the real loopback device, by package net", New: newKernel, Outside: true},
		{Name: "gvisor-65536", About: "gVisor netstack with a loopback link of MTU 65536, by gonet", New: newGVisor(65536), Stack: true},
		{Name: "gvisor-16436", About: "gVisor netstack with a loopback link of MTU 16436, by gonet", New: newGVisor(16436), Stack: true},
		{Name: "vnet", About: "pion's virtual network (UDP only), over its loopback interface", New: newVNet, Stack: true},
		{Name: "net.Pipe", About: "package net's synchronous pipe, no buffer", New: newPipe},
		{Name: "bufconn", About: "gRPC's in-memory listener with 256 KiB a direction", New: newBufconn},
		{Name: "fasthttputil", About: "fasthttp's in-memory listener", New: newFastHTTP},
		{Name: "floor", About: "one mutex, one ring buffer, two copies, no packets", New: newFloor},
		{Name: "loopback", About: "this repository's stack, whole TCP/IP on its NIC", New: newLoopback, Stack: true},
	}
}

// Find returns the peer of that name.
func Find(name string) (Peer, error) {
	for _, p := range Peers() {
		if p.Name == name {
			return p, nil
		}
	}
	return Peer{}, fmt.Errorf("no peer named %q", name)
}

// Connect opens one connection and returns both ends of it. It must not run concurrently with
// another Connect or Accept on l: the ends would not belong together.
func Connect(t Transport, l net.Listener, host int) (client, server net.Conn, err error) {
	type accepted struct {
		c   net.Conn
		err error
	}
	ch := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		ch <- accepted{c, err}
	}()
	client, err = t.Dial(l, host)
	if err != nil {
		_ = l.Close() // ends the Accept above
		if a := <-ch; a.err == nil {
			_ = a.c.Close()
		}
		return nil, nil, fmt.Errorf("dial: %w", err)
	}
	a := <-ch
	if a.err != nil {
		_ = client.Close()
		return nil, nil, fmt.Errorf("accept: %w", a.err)
	}
	return client, a.c, nil
}

// streamsOnly is embedded by transports without datagrams and devices.
type streamsOnly struct{}

func (streamsOnly) Datagrams() (tx, rx Datagram, err error) { return nil, nil, ErrUnsupported }
func (streamsOnly) RawUDP(int) (RawPath, error)             { return nil, ErrUnsupported }
func (streamsOnly) Close() error                            { return nil }

// hostAddr returns the host-th address of 127.0.0.0/8, counting from 127.0.0.1.
func hostAddr(host int) [4]byte {
	n := host + 1
	return [4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)}
}
