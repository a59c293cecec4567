package sim_test

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

// Goroutines with labels that dial one destination at one instant have the same ports each time, whoever comes first; a
// label that dials again has another port.
func TestLabels(t *testing.T) {
	var first [3][2]string
	for run := range 200 {
		var got [3][2]string
		inNet(t, sim.NetConfig{Seed: 4}, func(t *testing.T, n *sim.Net) {
			server, client := n.Host("server"), n.Host("client")
			l, err := server.Listen("tcp", ":80")
			require.NoError(t, err)
			var wg sync.WaitGroup
			var conns [3][2]net.Conn
			for k := range got {
				i := (k + run) % len(got) // in another order each time
				wg.Go(func() {
					for again := range got[i] {
						c, err := client.DialContext(sim.WithLabel(t.Context(), string(rune('a'+i))), "tcp", "server:80")
						if err != nil {
							t.Error(err)
							return
						}
						got[i][again], conns[i][again] = c.LocalAddr().String(), c
					}
				})
			}
			wg.Wait()
			for _, cs := range conns {
				for _, c := range cs {
					c.Close()
				}
			}
			l.Close()
		})
		if run == 0 {
			first = got
			require.NotEqual(t, got[0][0], got[0][1])
		}
		require.Equal(t, first, got)
	}
}
