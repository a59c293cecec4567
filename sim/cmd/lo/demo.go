package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"example.com/loopback/device"
)

// demoCmd is lo demo.
type demoCmd struct{}

// Help implements kong.HelpProvider.
func (x *demoCmd) Help() string {
	return "Every program in the tour is an ordinary one: net/http and golang.org/x/crypto/ssh with the computer's Dial and Listen.\n\nExamples:\n  lo\n  lo demo -w lo.pcapng\n  lo demo --trace 2>trace.txt"
}

// tour is a run of the demo.
type tour struct {
	ctx context.Context
	c   *computer
	out *output
}

// Run implements the command.
func (x *demoCmd) Run(ctx context.Context, f *computerFlags, out *output, diag *diagnostics) error {
	c, err := f.start(diag)
	if err != nil {
		return err
	}
	t := &tour{ctx, c, out}
	return c.finish(t.run())
}

func (t *tour) run() error {
	nic := t.c.NIC()
	t.out.printf("%s is up with MTU %d, and there is no other interface.\n", nic.Name(), nic.MTU())
	stopHTTP, err := serveHTTP(t.c.Stack, "localhost:631")
	if err != nil {
		return err
	}
	defer stopHTTP()
	client := httpClient(t.c.Stack)
	defer client.CloseIdleConnections()

	t.title("A web server on localhost:631, as CUPS has one")
	t.get(client, "http://localhost:631/")
	t.title("The server is bound to 127.0.0.1: by another address of lo it is not reached")
	t.get(client, "http://127.0.0.2:631/")
	t.title("An ssh session")
	if err := t.ssh("bob", "localhost:22"); err != nil {
		return err
	}
	t.title("Echo requests and replies")
	t.ping("localhost", 3)
	t.title("The name loopback is unknown, until the hosts table has a line for it")
	if err := t.names(); err != nil {
		return err
	}
	t.title("The interface, after all that")
	t.out.printf("$ ifconfig lo\n%s", device.IfconfigOld(nic))
	t.title("The sockets")
	t.out.printf("$ ss -tan\n")
	printSockets(t.out, t.c.Sockets())
	return t.ctx.Err()
}

func (t *tour) title(s string) { t.out.printf("\n== %s\n", s) }

// get fetches a page, as curl does.
func (t *tour) get(client *http.Client, url string) {
	t.out.printf("$ curl %s\n", url)
	body, err := fetch(t.ctx, client, url)
	if err != nil {
		t.out.printf("%v\n", dialError(err))
		return
	}
	t.out.printf("%s", body)
}

func fetch(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// dialError returns what the http.Client's error wraps.
func dialError(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func (t *tour) ssh(user, addr string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	server, err := serveSSH(t.c.Stack, addr, user, key.PublicKey())
	if err != nil {
		return err
	}
	defer server.stop()
	host, _, _ := strings.Cut(addr, ":")
	for _, command := range []string{"whoami", "env"} {
		t.out.printf("$ ssh %s@%s %s\n", user, host, command)
		text, err := sshRun(t.ctx, t.c.Stack, addr, user, key, server.host, command)
		if err != nil {
			return err
		}
		t.out.printf("%s", text)
	}
	return nil
}

// ping runs ping and shows what it says; that nothing answers, as on a lossy network, does not end the tour.
func (t *tour) ping(name string, count int) {
	t.out.printf("$ ping -c %d %s\n", count, name)
	x := &pingCmd{Addr: name, Count: count, Interval: 100 * time.Millisecond, Size: 56, Wait: 2 * time.Second, Four: true}
	if err := x.ping(t.ctx, t.c, t.out, t.out); err != nil && err.Error() != "" {
		t.out.printf("ping: %v\n", err)
	}
}

func (t *tour) names() error {
	t.ping("loopback", 1)
	t.out.printf("# echo 127.0.0.1 loopback >> /etc/hosts\n")
	if err := t.c.Hosts().Add(netip.MustParseAddr("127.0.0.1"), "loopback"); err != nil {
		return err
	}
	t.ping("loopback", 1)
	return nil
}
