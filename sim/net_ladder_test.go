package sim_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

var update = flag.Bool("update", false, "rewrite testdata/ladder.*")

// A connection on a bad network, drawn: a lost SYN, a lost segment that is sent again, a duplicate, and the close.
func TestLadder(t *testing.T) {
	inNet(t, sim.NetConfig{}, func(t *testing.T, n *sim.Net) {
		client, server := n.Host("client"), n.Host("server")
		n.LinkOneWay(client, server, sim.Impairment{Delay: 20 * time.Millisecond, DropPackets: []uint64{1}, DropSegments: []uint64{2}})
		n.LinkOneWay(server, client, sim.Impairment{Delay: 20 * time.Millisecond, Duplicate: 0.2})
		l, err := server.Listen("tcp", ":80")
		require.NoError(t, err)
		defer l.Close()
		go func() {
			c, err := l.Accept()
			if err == nil {
				io.Copy(c, c)
				c.Close()
			}
		}()
		c, err := client.Dial("tcp", "server:80")
		require.NoError(t, err)
		for range 4 {
			_, err = c.Write(make([]byte, 1000))
			require.NoError(t, err)
			time.Sleep(5 * time.Millisecond)
		}
		require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
		back, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Len(t, back, 4000)
		c.Close()
		time.Sleep(time.Minute)
		charts := n.Ladders()
		require.Len(t, charts, 1)
		for name, write := range map[string]func(io.Writer) error{"testdata/ladder.txt": charts[0].WriteText, "testdata/ladder.svg": charts[0].WriteSVG} {
			var b bytes.Buffer
			require.NoError(t, write(&b))
			if *update {
				require.NoError(t, os.WriteFile(name, b.Bytes(), 0o666))
			}
			want, err := os.ReadFile(name)
			require.NoError(t, err)
			require.Equal(t, string(want), b.String())
		}
	})
}
