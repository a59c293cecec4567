package simtest_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
	"example.com/loopback/sim/simtest"
)

func TestSlowAndLossy(t *testing.T) {
	simtest.Run(t, func(t *testing.T, n *sim.Net) {
		web, user := n.Host("web"), n.Host("user")
		n.Link(web, user, sim.Impairment{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.05, Rate: 10e6})
		l, err := web.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.FileServerFS(os.DirFS("."))}
		go srv.Serve(l)
		defer srv.Close()
		tr := &http.Transport{DialContext: user.DialContext}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get("http://web/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
}

// The README of sim has this very test.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	here, err := os.ReadFile("readme_test.go")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	code, _, ok := strings.Cut(rest, "```")
	require.True(t, ok)
	require.Contains(t, string(here), code)
}
