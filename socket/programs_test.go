package socket_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/rpc"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/socket"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// The tests below run unmodified programs on a Stack: nothing in them knows that there is no kernel underneath.

// site is what the web servers serve: a greeting, an echo, and much data.
func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s from %s", r.Proto, r.Host, r.RemoteAddr)
	})
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // HTTP/1.1 does not read on once the answer has begun
		_, _ = w.Write(body)
	})
	mux.HandleFunc("GET /big", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.CopyN(w, endless{}, 10<<20)
	})
	return mux
}

// serveHTTP starts the site on a Stack. Closing is the test's cleanup.
func serveHTTP(t *testing.T, s *socket.Stack, address string, secure bool) (*httptest.Server, *http.Client) {
	l, err := s.Listen("tcp", address)
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(site())
	require.NoError(t, srv.Listener.Close(), "the kernel's listener is not wanted")
	srv.Listener = l
	if secure {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	client := srv.Client()
	client.Transport.(*http.Transport).DialContext = s.DialContext
	return srv, client
}

func fetch(t *testing.T, client *http.Client, url string) (proto string, body []byte) {
	t.Helper()
	resp, err := client.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	body, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.Proto, body
}

// TestHTTP has an unmodified server on localhost:631, an unmodified client, and the refusals of the addresses beside.
func TestHTTP(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	_, client := serveHTTP(t, s, "localhost:631", false)
	for _, url := range []string{"http://localhost:631", "http://127.0.0.1:631"} {
		proto, body := fetch(t, client, url)
		require.Equal(t, "HTTP/1.1", proto)
		require.Contains(t, string(body), "HTTP/1.1 "+strings.TrimPrefix(url, "http://")+" from 127.0.0.1:")
	}
	_, err := client.Get("http://127.0.0.2:631")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)

	_, body := fetch(t, client, "http://localhost:631/big")
	require.Len(t, body, 10<<20)
	post := bytes.Repeat([]byte("0123456789"), 100_000)
	resp, err := client.Post("http://localhost:631/echo", "text/plain", bytes.NewReader(post))
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.True(t, bytes.Equal(post, got))
	client.CloseIdleConnections()
}

// TestHTTPConcurrently: 20 clients of one server, each with its own requests.
func TestHTTPConcurrently(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	srv, client := serveHTTP(t, s, "127.0.0.1:0", false)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 10 {
				text := strings.Repeat(fmt.Sprint(i, " ", j, ";"), 1000)
				resp, err := client.Post(srv.URL+"/echo", "text/plain", strings.NewReader(text))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || string(got) != text {
					t.Errorf("request %d of client %d: %v, %d bytes of %d", j, i, err, len(got), len(text))
				}
			}
		})
	}
	wg.Wait()
}

// TestHTTP2 is HTTP/2 over TLS, with concurrent streams on one connection.
func TestHTTP2(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	srv, client := serveHTTP(t, s, "[::1]:0", true)
	proto, body := fetch(t, client, srv.URL)
	require.Equal(t, "HTTP/2.0", proto)
	require.Contains(t, string(body), "from [::1]:")
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			resp, err := client.Get(srv.URL + "/big")
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if n, err := io.Copy(io.Discard, resp.Body); n != 10<<20 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	wg.Wait()
	client.CloseIdleConnections()
}

// TestTLS checks a TLS session's data and its orderly end.
func TestTLS(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	srv, _ := serveHTTP(t, s, "localhost:0", true) // for its certificate
	l, err := s.Listen("tcp", "localhost:https")
	require.NoError(t, err)
	defer l.Close()
	var server sync.WaitGroup
	server.Go(func() {
		c, err := tls.NewListener(l, &tls.Config{Certificates: srv.TLS.Certificates}).Accept()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	})
	raw, err := s.Dial("tcp", "localhost:443")
	require.NoError(t, err)
	config := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "example.com"
	config.NextProtos = nil
	c := tls.Client(raw, config)
	text := strings.Repeat("secret", 50_000)
	server.Go(func() {
		_, _ = io.WriteString(c, text)
		_ = c.CloseWrite()
	})
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.True(t, text == string(got))
	require.NoError(t, c.Close())
	server.Wait()
}

// TestSSH: bob logs in at localhost, as in the story of the loopback device.
func TestSSH(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	l, err := s.Listen("tcp", "localhost:ssh")
	require.NoError(t, err)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	var server sync.WaitGroup
	server.Go(func() { serveSSH(t, l, signer) })

	raw, err := s.Dial("tcp", "localhost:22")
	require.NoError(t, err)
	conn, channels, requests, err := ssh.NewClientConn(raw, "localhost:22", &ssh.ClientConfig{
		User: "bob", Auth: []ssh.AuthMethod{ssh.Password("swordfish")}, HostKeyCallback: ssh.FixedHostKey(signer.PublicKey()),
	})
	require.NoError(t, err)
	client := ssh.NewClient(conn, channels, requests)
	session, err := client.NewSession()
	require.NoError(t, err)
	session.Stdin = strings.NewReader(strings.Repeat("typed ", 10_000))
	out, err := session.Output("cat")
	require.NoError(t, err)
	require.Equal(t, "bob@127.0.0.1 cat: "+strings.Repeat("typed ", 10_000), string(out))
	require.NoError(t, client.Close())
	require.NoError(t, l.Close())
	server.Wait()
}

// serveSSH accepts one connection and runs "cat" in its sessions.
func serveSSH(t *testing.T, l net.Listener, key ssh.Signer) {
	config := &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if c.User() == "bob" && string(password) == "swordfish" {
			return nil, nil
		}
		return nil, errors.New("denied")
	}}
	config.AddHostKey(key)
	raw, err := l.Accept()
	if err != nil {
		t.Error(err)
		return
	}
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		t.Error(err)
		return
	}
	go ssh.DiscardRequests(requests)
	for nc := range channels {
		ch, reqs, err := nc.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		for req := range reqs {
			_ = req.Reply(req.Type == "exec", nil)
			if req.Type != "exec" {
				continue
			}
			command := string(req.Payload[4:])
			fmt.Fprintf(ch, "%s@%s %s: ", conn.User(), conn.RemoteAddr().(*net.TCPAddr).IP, command)
			_, _ = io.Copy(ch, ch)
			_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
			_ = ch.Close()
		}
	}
}

// Arith is net/rpc's own example.
type Arith struct{}

// Args are its arguments.
type Args struct{ A, B int }

// Multiply multiplies.
func (Arith) Multiply(args *Args, reply *int) error {
	*reply = args.A * args.B
	return nil
}

// TestRPC: net/rpc, many calls at once on one connection.
func TestRPC(t *testing.T) {
	s := socket.New(socket.Config{})
	defer s.Close()
	l, err := s.Listen("tcp6", "localhost:0")
	require.NoError(t, err)
	defer l.Close()
	srv := rpc.NewServer()
	require.NoError(t, srv.Register(Arith{}))
	var server sync.WaitGroup
	server.Go(func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		srv.ServeConn(c)
	})
	c, err := s.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	client := rpc.NewClient(c)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			var product int
			if err := client.Call("Arith.Multiply", &Args{i, i + 1}, &product); err != nil || product != i*(i+1) {
				t.Errorf("%d * %d = %d, %v", i, i+1, product, err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, client.Close())
	server.Wait()
}

// TestHTTPInABubble: net/http in a synctest bubble, where two idle hours pass at once on a connection that is kept.
func TestHTTPInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.New(socket.Config{})
		l, err := s.Listen("tcp", "localhost:http")
		require.NoError(t, err)
		srv := &http.Server{Handler: site()}
		go func() { _ = srv.Serve(l) }()
		transport := &http.Transport{DialContext: s.DialContext}
		client := &http.Client{Transport: transport}
		begin := time.Now()
		_, first := fetch(t, client, "http://localhost")
		require.Zero(t, time.Since(begin), "a perfect loopback wire takes no virtual time")

		time.Sleep(2 * time.Hour) // virtual
		_, second := fetch(t, client, "http://localhost")
		require.Equal(t, first, second, "the same connection: the client's port is in the answer")

		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, srv.Shutdown(ctx))
		transport.CloseIdleConnections()
		require.NoError(t, s.Close())
	})
}

// TestKeepAliveTwoHours: a peer that has gone is noticed when Linux would: after two idle hours and nine probes, 75
// seconds apart, none of which was answered.
func TestKeepAliveTwoHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := socket.New(socket.Config{})
		a, b, stop, err := pipe(s, "tcp")
		require.NoError(t, err)
		config := net.KeepAliveConfig{Enable: true, Idle: 2 * time.Hour, Interval: 75 * time.Second, Count: 9}
		require.NoError(t, a.(tcpConn).SetKeepAliveConfig(config))
		require.NoError(t, b.(tcpConn).SetKeepAlive(false))

		begin := time.Now()
		require.NoError(t, a.SetReadDeadline(begin.Add(24*time.Hour)))
		_, err = a.Read(make([]byte, 1))
		require.True(t, err.(net.Error).Timeout(), "a living peer answers probes: a day passes, and then the deadline")
		require.Equal(t, 24*time.Hour, time.Since(begin))
		require.NoError(t, a.SetReadDeadline(time.Time{}))

		_, err = b.Write([]byte("x")) // the last sign of life
		require.NoError(t, err)
		_, err = a.Read(make([]byte, 1))
		require.NoError(t, err)
		s.NIC().SetUp(false)
		begin = time.Now()
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		require.Equal(t, 2*time.Hour+9*75*time.Second, time.Since(begin).Round(time.Second))
		s.NIC().SetUp(true)
		stop()
		require.NoError(t, s.Close())
	})
}
