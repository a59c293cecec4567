package transport

import (
	"net"

	"google.golang.org/grpc/test/bufconn"
)

// bufconnSize is the buffer of each direction. A stack's receive window grows to megabytes; with
// less than 256 KiB bufconn would be slower, with more it would allocate more a connection.
const bufconnSize = 256 << 10

// bufconnNet is gRPC's in-memory listener.
type bufconnNet struct{ streamsOnly }

func newBufconn(o Options) (Transport, error) {
	if o.Checksums {
		return nil, ErrUnsupported
	}
	return bufconnNet{}, nil
}

func (bufconnNet) Listen() (net.Listener, error) { return bufconn.Listen(bufconnSize), nil }

func (bufconnNet) Dial(l net.Listener, _ int) (net.Conn, error) {
	return l.(*bufconn.Listener).Dial()
}
