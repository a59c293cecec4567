package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"example.com/loopback/socket"
)

// page is what the HTTP server on the simulated computer answers.
func page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "Hello from the loopback computer.\nYou are %s, and this is %s.\n", r.RemoteAddr, r.Context().Value(http.LocalAddrContextKey))
}

// serveHTTP starts an unmodified net/http server on an address of the simulated computer. stop ends it.
func serveHTTP(s *socket.Stack, addr string) (stop func(), err error) {
	l, err := s.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(page)}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	return func() {
		server.Close()
		wg.Wait()
	}, nil
}

// httpClient returns an unmodified http.Client that dials on the simulated computer.
func httpClient(s *socket.Stack) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: s.DialContext}}
}

// sshServer is an ssh server on the simulated computer that lets one key in.
type sshServer struct {
	user    string
	config  *ssh.ServerConfig
	host    ssh.PublicKey
	clients sync.WaitGroup
	l       net.Listener
}

// newKey returns a fresh signing key.
func newKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(private)
}

// serveSSH starts the server; user logs in with the key allowed.
func serveSSH(s *socket.Stack, addr, user string, allowed ssh.PublicKey) (*sshServer, error) {
	hostKey, err := newKey()
	if err != nil {
		return nil, err
	}
	v := &sshServer{user: user, host: hostKey.PublicKey()}
	v.config = &ssh.ServerConfig{
		// The cipher that OpenSSH prefers. (Wireshark 4.0 takes AES-GCM, which it cannot decrypt, for malformed.)
		Config:        ssh.Config{Ciphers: []string{"chacha20-poly1305@openssh.com"}},
		ServerVersion: "SSH-2.0-Loopback",
		PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if c.User() == user && bytes.Equal(key.Marshal(), allowed.Marshal()) {
				return &ssh.Permissions{}, nil
			}
			return nil, errors.New("unknown user or key")
		},
	}
	v.config.AddHostKey(hostKey)
	if v.l, err = s.Listen("tcp", addr); err != nil {
		return nil, err
	}
	v.clients.Go(func() {
		for {
			c, err := v.l.Accept()
			if err != nil {
				return
			}
			v.clients.Go(func() { v.serve(c) })
		}
	})
	return v, nil
}

// stop ends the server when its clients have gone.
func (v *sshServer) stop() {
	v.l.Close()
	v.clients.Wait()
}

// serve holds one connection.
func (v *sshServer) serve(c net.Conn) {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, v.config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for ch := range channels {
		if ch.ChannelType() != "session" {
			_ = ch.Reject(ssh.UnknownChannelType, "only sessions")
			continue
		}
		channel, requests, err := ch.Accept()
		if err != nil {
			return
		}
		sessions.Go(func() { session(conn, channel, requests) })
	}
}

// session runs the command that an exec request asks for.
func session(conn *ssh.ServerConn, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for r := range requests {
		var exec struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exec) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		status := shell(channel, conn, exec.Command)
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
		return
	}
}

// shell is the login shell: it knows three commands.
func shell(w io.Writer, conn *ssh.ServerConn, command string) (status uint32) {
	local, remote := conn.LocalAddr().(*net.TCPAddr), conn.RemoteAddr().(*net.TCPAddr)
	words := strings.Fields(command)
	if len(words) == 0 {
		return 0
	}
	switch words[0] {
	case "whoami":
		fmt.Fprintln(w, conn.User())
	case "echo":
		fmt.Fprintln(w, strings.Join(words[1:], " "))
	case "env":
		fmt.Fprintf(w, "USER=%s\nSSH_CONNECTION=%s %d %s %d\n", conn.User(), remote.IP, remote.Port, local.IP, local.Port)
	default:
		fmt.Fprintf(w, "sh: %s: not found\n", words[0])
		return 127
	}
	return 0
}

// sshRun runs a command on a server as the ssh program does and returns its output.
func sshRun(ctx context.Context, s *socket.Stack, addr, user string, key ssh.Signer, host ssh.PublicKey, command string) (string, error) {
	c, err := s.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	conn, channels, requests, err := ssh.NewClientConn(c, addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(host),
	})
	if err != nil {
		return "", err
	}
	client := ssh.NewClient(conn, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	out, err := session.CombinedOutput(command)
	return string(out), err
}
