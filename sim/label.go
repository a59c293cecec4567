package sim

import (
	"context"
	"errors"
	"net"
	"syscall"

	"example.com/loopback/socket"
)

type labelKey struct{}

// WithLabel returns a context by which Host.DialContext tells apart goroutines of one host that dial the same destination at
// the same instant: the local port, from which the rest follows, is drawn from (seed, host, destination, label, how many
// dials with that label to there came before) and not in the order in which the goroutines come. Those that dial at once
// need different labels. What remains is that two labels draw the same port, of some 28,000, at one instant: then the
// later one takes another.
func WithLabel(ctx context.Context, label string) context.Context {
	return context.WithValue(ctx, labelKey{}, label)
}

// labelled is what dials with a label are counted by.
type labelled struct{ host, network, address, label string }

// labelTries bounds the ports that a dial with a label tries.
const labelTries = 64

// dial dials, from a port of its own if the context has a label.
func (h *Host) dial(ctx context.Context, d socket.Dialer, network, address string) (c net.Conn, err error) {
	label, ok := ctx.Value(labelKey{}).(string)
	if !ok {
		return d.DialContext(ctx, network, address)
	}
	ports := h.n.cfg.Stack.EphemeralPorts
	if ports == [2]uint16{} {
		ports = [2]uint16{32768, 60999}
	}
	key := labelled{h.name, network, address, label}
	hash := mix(h.n.cfg.Seed) ^ hashBytes([]byte(h.name+"\x00"+network+"\x00"+address+"\x00"+label))
	for range labelTries {
		h.n.mu.Lock()
		if h.n.labels == nil {
			h.n.labels = map[labelled]uint64{}
		}
		h.n.labels[key]++
		x := mix(hash + h.n.labels[key])
		h.n.mu.Unlock()
		port := int(ports[0]) + int(x%uint64(int(ports[1])-int(ports[0])+1))
		switch a := d.LocalAddr.(type) {
		case *net.TCPAddr:
			d.LocalAddr = &net.TCPAddr{IP: a.IP, Port: port}
		case *net.UDPAddr:
			d.LocalAddr = &net.UDPAddr{IP: a.IP, Port: port}
		}
		c, err = d.DialContext(ctx, network, address)
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			break
		}
	}
	return c, err
}
