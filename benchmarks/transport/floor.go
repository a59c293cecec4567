package transport

import (
	"net"

	"example.com/loopback/benchmarks/floor"
)

// mailboxSize holds a window of 128 datagrams of 16 KiB.
const mailboxSize = 4 << 20

// floorNet is the lower bound: see package floor.
type floorNet struct{ streamsOnly }

func newFloor(o Options) (Transport, error) {
	if o.Checksums {
		return nil, ErrUnsupported
	}
	return floorNet{}, nil
}

func (floorNet) Listen() (net.Listener, error) { return floor.NewListener(), nil }

func (floorNet) Dial(l net.Listener, _ int) (net.Conn, error) {
	client, server := floor.Pipe()
	if err := l.(*floor.Listener).Deliver(server); err != nil {
		return nil, err
	}
	return client, nil
}

func (floorNet) Datagrams() (tx, rx Datagram, err error) {
	m := floor.NewMailbox(mailboxSize)
	return m, m, nil
}
