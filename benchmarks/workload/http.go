package workload

import (
	"context"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"sync"

	"example.com/loopback/benchmarks/transport"
)

// http is package net/http, unmodified, on both ends.
func http(clients int) Workload {
	return Workload{
		Name: fmt.Sprintf("http-%d", clients), Title: fmt.Sprintf("net/http keep-alive, %d %s", clients, map[bool]string{true: "client", false: "clients"}[clients == 1]),
		About: "GET of a 13-byte body by http.Client goroutines that share one http.Transport, each on its " +
			"own kept-alive connection; one operation is one request",
		Procs: []int{1, 2},
		Start: func(env *Env) (*Loop, error) { return startHTTP(env, clients) },
	}
}

func startHTTP(env *Env, clients int) (*Loop, error) {
	tr, err := env.Open(transport.Options{})
	if err != nil {
		return nil, err
	}
	l, err := tr.Listen()
	if err != nil {
		_ = tr.Close()
		return nil, err
	}
	server := &nethttp.Server{Handler: nethttp.HandlerFunc(func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		_, _ = io.WriteString(w, "Hello, world!")
	})}
	go func() { _ = server.Serve(l) }()
	rt := &nethttp.Transport{
		DialContext:         func(context.Context, string, string) (net.Conn, error) { return tr.Dial(l, 0) },
		MaxIdleConnsPerHost: clients,
		DisableCompression:  true,
	}
	client := &nethttp.Client{Transport: rt}
	return &Loop{
		Run:       func(n int) error { return requests(client, clients, n) },
		Transport: tr,
		Stop: func() {
			rt.CloseIdleConnections()
			_, _ = server.Close(), tr.Close()
		},
		Metrics: func(s Sample) []Metric {
			return []Metric{{"req/s", s.perSecond()}, {"allocs/op", s.allocs()}}
		},
	}, nil
}

// requests makes n requests, by all clients at once.
func requests(client *nethttp.Client, clients, n int) error {
	work := among(clients, n)
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { errs[i] = getAll(client, work) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func getAll(client *nethttp.Client, work *shares) error {
	for n := work.next(); n > 0; n = work.next() {
		for range n {
			if err := get(client); err != nil {
				return err
			}
		}
	}
	return nil
}

func get(client *nethttp.Client) error {
	r, err := client.Get("http://localhost/")
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err == nil && n != 13 {
		err = fmt.Errorf("body of %d bytes", n)
	}
	if cerr := r.Body.Close(); err == nil {
		err = cerr
	}
	return err
}
