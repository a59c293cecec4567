package transport

import (
	"net"

	"github.com/valyala/fasthttp/fasthttputil"
)

// fastHTTP is fasthttp's in-memory listener.
type fastHTTP struct{ streamsOnly }

func newFastHTTP(o Options) (Transport, error) {
	if o.Checksums {
		return nil, ErrUnsupported
	}
	return fastHTTP{}, nil
}

func (fastHTTP) Listen() (net.Listener, error) { return fasthttputil.NewInmemoryListener(), nil }

func (fastHTTP) Dial(l net.Listener, _ int) (net.Conn, error) {
	return l.(*fasthttputil.InmemoryListener).Dial()
}
