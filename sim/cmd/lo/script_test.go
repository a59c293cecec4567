package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const handshake = `0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535 <mss 1460>
+0 > S. 0:0(0) ack 1 <mss 1460>
`

func TestScript(t *testing.T) {
	write := func(name, src string) string {
		file := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(file, []byte(src), 0o600))
		return file
	}
	good := write("good.pkt", handshake)
	bad := write("bad.pkt", handshake+"+0 > . 1:1(0) ack 1\n")
	wrong := write("wrong.pkt", "0 socket(")
	for _, tt := range []struct {
		name string
		args []string
		code int
		out  string
	}{
		{"all versions", []string{good}, exitOK, "ok   " + good + " (ipv6)"},
		{"one version", []string{"--version", "ipv4", good}, exitOK, "ok   " + good + " (ipv4)"},
		{"a packet that does not come", []string{bad}, exitFailure, "FAIL " + bad},
		{"no script", []string{wrong}, exitUsage, ""},
		{"no file", []string{good + "x"}, exitUsage, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, diag bytes.Buffer
			code := run(context.Background(), append([]string{"script"}, tt.args...), &out, &diag)
			require.Equal(t, tt.code, code, "%s%s", &out, &diag)
			require.Contains(t, out.String(), tt.out)
		})
	}
}
