package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"example.com/loopback/socket"
)

// A bridge carries TCP connections from one computer to another: from a listener on the one to an address that is
// dialled on the other.
type bridge struct {
	from, to string
	l        net.Listener
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	diag     io.Writer
}

// parseBridge splits FROM=TO.
func parseBridge(spec string) (from, to string, err error) {
	from, to, ok := strings.Cut(spec, "=")
	if ok {
		_, _, err = net.SplitHostPort(from)
		if err == nil {
			_, _, err = net.SplitHostPort(to)
		}
	}
	if !ok || err != nil {
		return "", "", usageError("%q: want LISTEN=CONNECT with a host and a port each, as in 127.0.0.1:8080=localhost:631", spec)
	}
	return from, to, nil
}

// run carries connections until the context ends or the listener is closed, and returns when the last one is done.
func (b *bridge) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { b.l.Close() })
	defer stop()
	for {
		c, err := b.l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { b.carry(ctx, c) })
	}
}

// carry dials for one connection and copies both ways until both ends have finished, or the context ends.
func (b *bridge) carry(ctx context.Context, near net.Conn) {
	defer near.Close()
	far, err := b.dial(ctx, "tcp", b.to)
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		fmt.Fprintf(b.diag, "lo: connection from %v to %s: %v\n", near.RemoteAddr(), b.from, err)
		if t, ok := near.(interface{ SetLinger(int) error }); ok {
			_ = t.SetLinger(0) // the peer is told as it would be by a server that is not there: reset
		}
		return
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() {
		near.Close()
		far.Close()
	})
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { pump(far, near) })
	wg.Go(func() { pump(near, far) })
	wg.Wait()
}

// pump copies one direction and passes its end on.
func pump(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if err != nil {
		to.Close()
		from.Close()
		return
	}
	if c, ok := to.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

// machine is the real one: how bridges listen and dial there.
type machine struct {
	listen func(network, address string) (net.Listener, error)
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

func realMachine() machine {
	return machine{net.Listen, new(net.Dialer).DialContext}
}

// serviceFlags say what answers on the simulated computer.
type serviceFlags struct {
	Listen []string `short:"l" placeholder:"LISTEN=CONNECT" help:"Listen on an address of the simulated computer and carry connections to one of this machine, as in localhost:631=127.0.0.1:8000. May be repeated."`
	Bare   bool     `help:"Do not start the web server on localhost:631."`
}

// start starts the services; stop ends them.
func (f *serviceFlags) start(ctx context.Context, s *socket.Stack, m machine, diag io.Writer) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	stops := []func(){cancel, wg.Wait}
	stop = func() {
		for _, f := range stops {
			f()
		}
	}
	taken := f.Bare
	for _, spec := range f.Listen {
		from, to, err := parseBridge(spec)
		if err != nil {
			stop()
			return nil, err
		}
		l, err := s.Listen("tcp", from)
		if err != nil {
			stop()
			return nil, err
		}
		if a := l.Addr().(*net.TCPAddr); a.Port == 631 {
			taken = true
		}
		b := &bridge{from: from, to: to, l: l, dial: m.dial, diag: diag}
		wg.Go(func() { b.run(ctx) })
	}
	if !taken {
		stopHTTP, err := serveHTTP(s, "localhost:631")
		if err != nil {
			stop()
			return nil, err
		}
		stops = append(stops, stopHTTP)
	}
	return stop, nil
}

// forwardCmd is lo forward.
type forwardCmd struct {
	serviceFlags
	Spec []string `arg:"" name:"listen=connect" help:"Address of this machine to listen on, and address of the simulated computer to connect to."`
}

// Help implements kong.HelpProvider.
func (x *forwardCmd) Help() string {
	return "Examples:\n  lo forward 127.0.0.1:8080=localhost:631          the simulated computer's own web server\n" +
		"  lo forward 127.0.0.1:8080=server:80 --host \"127.0.0.5 server\" --listen server:80=127.0.0.1:8000 --delay 50ms\n" +
		"                                                   a server of this machine, behind a slow network\n\nIt runs until it is interrupted."
}

// Run implements the command.
func (x *forwardCmd) Run(ctx context.Context, f *computerFlags, out *output, diag *diagnostics) error {
	c, err := f.start(&lockedWriter{w: diag})
	if err != nil {
		return err
	}
	return c.finish(x.forward(ctx, c, realMachine(), out, &lockedWriter{w: diag}))
}

func (x *forwardCmd) forward(ctx context.Context, c *computer, m machine, out *output, diag io.Writer) error {
	stop, err := x.start(ctx, c.Stack, m, diag)
	if err != nil {
		return err
	}
	defer stop()
	var bridges []*bridge
	defer func() {
		for _, b := range bridges {
			b.l.Close()
		}
	}()
	for _, spec := range x.Spec {
		from, to, err := parseBridge(spec)
		if err != nil {
			return err
		}
		l, err := m.listen("tcp", from)
		if err != nil {
			return err
		}
		bridges = append(bridges, &bridge{from: from, to: to, l: l, dial: c.DialContext, diag: diag})
		out.printf("%v leads to %s of the simulated computer\n", l.Addr(), to)
	}
	var wg sync.WaitGroup
	for _, b := range bridges {
		wg.Go(func() { b.run(ctx) })
	}
	wg.Wait()
	return nil
}

// getCmd is lo get.
type getCmd struct {
	serviceFlags
	URL     string `arg:"" help:"What to fetch: http, from an address or name of the simulated computer."`
	Include bool   `short:"i" help:"Print the response's status and header, too."`
}

// Help implements kong.HelpProvider.
func (x *getCmd) Help() string {
	return "Examples:\n  lo get http://localhost:631/\n  lo get -i http://server/ --host \"127.0.0.5 server\" --listen server:80=127.0.0.1:8000\n" +
		"                              a server of this machine, reached by way of lo\n  lo get http://localhost:631/ --trace --loss 0.2"
}

// Run implements the command.
func (x *getCmd) Run(ctx context.Context, f *computerFlags, out *output, diag *diagnostics) error {
	c, err := f.start(diag)
	if err != nil {
		return err
	}
	return c.finish(x.get(ctx, c, realMachine(), out, diag))
}

func (x *getCmd) get(ctx context.Context, c *computer, m machine, out *output, diag io.Writer) error {
	stop, err := x.start(ctx, c.Stack, m, diag)
	if err != nil {
		return err
	}
	defer stop()
	client := httpClient(c.Stack)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.URL, nil)
	if err != nil {
		return usageError("%w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if x.Include {
		out.printf("%s %s\r\n", resp.Proto, resp.Status)
		_ = resp.Header.Write(out)
		out.printf("\r\n")
	}
	if _, err := io.Copy(out, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: %s", x.URL, resp.Status)
	}
	return nil
}
