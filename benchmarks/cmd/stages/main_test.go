package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const traces = `File: x
Type: cpu
-----------+-------------------------------------------------------
      30ms   runtime.memmove
             example.com/loopback/tcp.(*recvBuf).read
             example.com/loopback/socket.(*TCPConn).Read
-----------+-------------------------------------------------------
      10ms   sync/atomic.(*Uint64).Add (inline)
             example.com/loopback/device.(*NIC).Transmit
             example.com/loopback/socket.(*Stack).send
-----------+-------------------------------------------------------
      20ms   example.com/loopback/tcp.(*TCB).processAck
             example.com/loopback/tcp.(*TCB).Input
             example.com/loopback/socket.(*TCPConn).receive
-----------+-------------------------------------------------------
      40ms   runtime.unknown
`

func TestStages(t *testing.T) {
	shares, total := add(traces)
	require.Equal(t, 100*time.Millisecond, total)
	require.Equal(t, map[string]time.Duration{
		"copying bytes":                 30 * time.Millisecond,
		"NIC: rings, counters, buffers": 10 * time.Millisecond,
		"TCP: segments in":              20 * time.Millisecond,
		other:                           40 * time.Millisecond,
	}, shares)
	var out bytes.Buffer
	require.NoError(t, write(&out, shares, total, 1000))
	require.Equal(t, `| stage | share | ns |
|---|---:|---:|
| other | 40.0 % | 400 |
| copying bytes | 30.0 % | 300 |
| TCP: segments in | 20.0 % | 200 |
| NIC: rings, counters, buffers | 10.0 % | 100 |
`, out.String())
}

func TestNoSamples(t *testing.T) {
	_, total := add("File: x\n")
	require.Zero(t, total)
	require.Error(t, run("/does/not/exist.prof", 0, &bytes.Buffer{}))
}
