package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The chart of a download shows the handshake, the request and its answer, each segment arriving, and the states.
func TestLadderOfAGet(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.txt")
	code, out, diag := lo(t, "get", "http://localhost:631/", "--ladder", file, "--delay", "1ms", "--seed", "3")
	require.Zero(t, code, diag)
	require.Contains(t, out, "Hello from the loopback computer.")
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, want := range []string{"localhost:631", "seed 3", "[S], seq", "[S.], seq", "[P.], seq", "ESTABLISHED", "SYN-SENT"} {
		require.Contains(t, string(b), want)
	}
	require.Equal(t, 1, strings.Count(string(b), "127.0.0.1:631, seed 3\n"), "one connection, one chart")
}

// On a perfect network segments arrive as well; each connection of the tour has a picture, which is well-formed XML.
func TestLaddersOfTheTour(t *testing.T) {
	dir := t.TempDir()
	code, _, diag := lo(t, "--ladder", filepath.Join(dir, "x.svg"))
	require.Zero(t, code, diag)
	files, err := filepath.Glob(filepath.Join(dir, "x*.svg"))
	require.NoError(t, err)
	require.Len(t, files, 7, "the web and two of ssh, each refused by ::1 before, and what 127.0.0.2 refuses")
	for _, f := range files {
		r, err := os.Open(f)
		require.NoError(t, err)
		defer r.Close()
		for d := xml.NewDecoder(r); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else {
				require.NoError(t, err)
			}
		}
	}
}

func TestLadderUsage(t *testing.T) {
	code, _, diag := lo(t, "ifconfig", "--ladder", "x.png")
	require.Equal(t, 2, code)
	require.Equal(t, "lo: --ladder x.png is neither .svg nor .txt\n", diag)
	code, _, diag = lo(t, "ifconfig", "--ladder", "/nonexistent/x.txt")
	require.Equal(t, 2, code)
	require.Contains(t, diag, "no such file or directory")
}
