package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/loopback/socket"
)

func TestGet(t *testing.T) {
	for _, x := range []struct {
		name, args string
		code       int
		out, diag  string
	}{
		{"the page", "http://localhost:631/", 0, "Hello from the loopback computer.\nYou are 127.0.0.1:\\d+, and this is 127.0.0.1:631.", ``},
		{"with header", "-i http://127.0.0.1:631/", 0, "HTTP/1.1 200 OK\r\nContent-Length: \\d+\r\nContent-Type: text/plain; charset=utf-8\r\nDate: .*\r\n\r\nHello from the loopback computer.\nYou are .*", ``},
		{"by service name", "http://localhost:ipp/", 2, ``, `lo: parse "http://localhost:ipp/": invalid port ":ipp" after host`},
		{"refused", "http://127.0.0.2:631/", 1, ``, `lo: Get "http://127.0.0.2:631/": dial tcp 127.0.0.2:631: connect: connection refused`},
		{"bare", "--bare http://localhost:631/", 1, ``, `lo: Get "http://localhost:631/": dial tcp .*: connect: connection refused`},
		{"elsewhere", "http://192.0.2.1/", 1, ``, `lo: Get "http://192.0.2.1/": dial tcp 192.0.2.1:80: connect: network is unreachable`},
		{"unknown", "http://printer/", 1, ``, `lo: Get "http://printer/": dial tcp: lookup printer: no such host`},
		{"another scheme", "gopher://localhost/", 1, ``, `lo: Get "gopher://localhost/": unsupported protocol scheme "gopher"`},
		{"a bad bridge", "--listen nonsense http://localhost/", 2, ``, `lo: "nonsense": want LISTEN=CONNECT with a host and a port each, as in 127.0.0.1:8080=localhost:631`},
		{"a bridge without port", "--listen localhost=127.0.0.1:1 http://localhost/", 2, ``, `lo: "localhost=127.0.0.1:1": want .*`},
		{"a bridge on an address of others", "--listen 192.0.2.1:1=127.0.0.1:1 http://localhost/", 1, ``, `lo: listen tcp 192.0.2.1:1: bind: cannot assign requested address`},
	} {
		t.Run(x.name, func(t *testing.T) {
			code, out, diag := lo(t, append([]string{"get"}, strings.Fields(x.args)...)...)
			require.Equal(t, x.code, code, "%s%s", out, diag)
			matches(t, strings.ReplaceAll(x.out, "\r", `\r`), out)
			matches(t, x.diag, diag)
		})
	}
}

func TestGetReachesAServerOfThisMachine(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/here" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "the real one: "+r.Host)
	}))
	defer server.Close()
	bridge := "server:631=" + server.Listener.Addr().String()
	code, out, diag := lo(t, "get", "http://server:631/here", "--host", "127.0.0.5 server", "--listen", bridge, "--trace")
	require.Zero(t, code, diag)
	require.Equal(t, "the real one: server:631", out)
	require.Contains(t, diag, "IP 127.0.0.1.", "the request went by lo, too")
	require.Regexp(t, `> 127\.0\.0\.5\.631: Flags \[S\], seq \d+, win \d+, options \[mss 16396,sackOK,TS val \d+ ecr 0,nop,wscale \d+\], length 0`, diag)

	code, out, diag = lo(t, "get", "http://server:631/", "--host", "127.0.0.5 server", "--listen", bridge)
	require.Equal(t, 1, code)
	require.Equal(t, "404 page not found\n", out)
	require.Equal(t, "lo: http://server:631/: 404 Not Found\n", diag)

	server.Close()
	code, _, diag = lo(t, "get", "http://server:631/", "--host", "127.0.0.5 server", "--listen", bridge)
	require.Equal(t, 1, code)
	require.Regexp(t, `lo: connection from 127\.0\.0\.1:\d+ to server:631: dial tcp 127\.0\.0\.1:\d+: connect: connection refused`, diag)
}

func TestForwardLetsThisMachineIn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	var diag bytes.Buffer
	done := make(chan int)
	go func() {
		done <- run(ctx, []string{"forward", "127.0.0.1:0=localhost:631", "127.0.0.1:0=127.0.0.2:631"}, w, &diag)
	}()
	lines := bufio.NewReader(r)
	var addrs []string
	for range 2 {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		addr, rest, _ := strings.Cut(line, " ")
		require.Contains(t, rest, "of the simulated computer")
		addrs = append(addrs, addr)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addrs[0] + "/")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	resp.Body.Close()
	require.Regexp(t, `this is 127\.0\.0\.1:631`, string(body))

	_, err = client.Get("http://" + addrs[1] + "/")
	require.Error(t, err, "nobody listens on 127.0.0.2:631 there")

	// A connection that idles does not keep the program from ending.
	idle, err := net.Dial("tcp", addrs[0])
	require.NoError(t, err)
	defer idle.Close()
	cancel()
	require.Zero(t, <-done)
	require.Regexp(t, `^lo: connection from 127\.0\.0\.1:\d+ to 127\.0\.0\.1:0: dial tcp 127\.0\.0\.2:631: connect: connection refused\n$`, diag.String())
	_, err = net.Dial("tcp", addrs[0])
	require.Error(t, err)
}

func TestForwardCarriesMuchDataAndHalfClose(t *testing.T) {
	a, b := socket.New(socket.Config{}), socket.New(socket.Config{})
	defer a.Close()
	defer b.Close()
	l, err := a.Listen("tcp", "127.0.0.1:1000")
	require.NoError(t, err)
	far, err := b.Listen("tcp", "127.0.0.1:2000")
	require.NoError(t, err)
	go func() {
		c, err := far.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, _ := io.ReadAll(c) // until the other side has finished writing
		_, _ = c.Write(bytes.ToUpper(all))
	}()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		(&bridge{from: "a", to: "127.0.0.1:2000", l: l, dial: b.DialContext, diag: io.Discard}).run(ctx)
		close(done)
	}()
	c, err := a.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1000})
	require.NoError(t, err)
	payload := bytes.Repeat([]byte("lo"), 1<<20)
	go func() {
		_, _ = c.Write(payload)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.True(t, bytes.Equal(bytes.ToUpper(payload), got))
	c.Close()
	cancel()
	<-done
}

func TestForwardErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, x := range []struct {
		args string
		code int
		diag string
	}{
		{"", 2, `lo: expected "<listen=connect> ..."\nTry 'lo --help'.\n`},
		{"nonsense", 2, `lo: "nonsense": want LISTEN=CONNECT .*\n`},
		{taken.Addr().String() + "=localhost:631", 1, `lo: listen tcp .*: bind: address already in use\n`},
		{"127.0.0.1:0=localhost:631 --listen x", 2, `lo: "x": want LISTEN=CONNECT .*\n`},
	} {
		code, _, diag := lo(t, append([]string{"forward"}, strings.Fields(x.args)...)...)
		require.Equal(t, x.code, code, diag)
		require.Regexp(t, "^"+x.diag+"$", diag)
	}
}
