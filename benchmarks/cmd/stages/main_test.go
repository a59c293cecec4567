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
       5ms   example.com/loopback/tcp.(*TCB).dialogue
             example.com/loopback/tcp.(*TCB).LoneSteady (inline)
             example.com/loopback/socket.(*TCPConn).Write
-----------+-------------------------------------------------------
      35ms   runtime.unknown
`

func TestStages(t *testing.T) {
	shares, total := add(traces)
	require.Equal(t, 100*time.Millisecond, total)
	require.Equal(t, map[string]time.Duration{
		"copying bytes":                 30 * time.Millisecond,
		"NIC: rings, counters, buffers": 10 * time.Millisecond,
		"TCP: segments in":              20 * time.Millisecond,
		"TCP: segments out":             5 * time.Millisecond,
		other:                           35 * time.Millisecond,
	}, shares)
	var out bytes.Buffer
	require.NoError(t, write(&out, shares, total, 1000))
	require.Equal(t, `| stage | share | ns |
|---|---:|---:|
| other | 35.0 % | 350 |
| copying bytes | 30.0 % | 300 |
| TCP: segments in | 20.0 % | 200 |
| NIC: rings, counters, buffers | 10.0 % | 100 |
| TCP: segments out | 5.0 % | 50 |
`, out.String())
}

func TestNoSamples(t *testing.T) {
	_, total := add("File: x\n")
	require.Zero(t, total)
	require.Error(t, run("/does/not/exist.prof", 0, &bytes.Buffer{}))
}
