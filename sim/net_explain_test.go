package sim_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

// explained is a network on which a bit of everything happens to packets of UDP, and a datagram in fragments.
func explained(t *testing.T, n *sim.Net) {
	client, server := n.Host("client"), n.Host("server")
	n.LinkOneWay(client, server, sim.Impairment{Delay: time.Millisecond, DropPackets: []uint64{2, 5}, Loss: 0.1, Duplicate: 0.2, Corrupt: 0.2, Reorder: 0.2})
	s, err := server.ListenPacket("udp", ":9")
	require.NoError(t, err)
	defer s.Close()
	c, err := client.Dial("udp", "server:9")
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write(make([]byte, 40000)) // three fragments of the default MTU, the second of which is dropped
	require.NoError(t, err)
	for range 40 {
		time.Sleep(10 * time.Millisecond)
		_, err = c.Write([]byte("hello"))
		require.NoError(t, err)
	}
	time.Sleep(time.Second)
}

// Every decision stands below the packet that it is about, and without those lines the trace is the usual one.
func TestExplainText(t *testing.T) {
	inNet(t, sim.NetConfig{Seed: 3}, func(t *testing.T, n *sim.Net) {
		explained(t, n)
		var plain, why bytes.Buffer
		require.NoError(t, n.Recording().WriteText(&plain))
		require.NoError(t, n.Recording().ExplainText(&why))
		line := regexp.MustCompile(`(?m)^\t-- .*\n`)
		require.Equal(t, plain.String(), line.ReplaceAllString(why.String(), ""))
		require.Len(t, line.FindAllString(why.String(), -1), len(n.Decisions()))
		lines := strings.Split(why.String(), "\n")
		require.Contains(t, lines[1], "ip-proto-17", "the second fragment")
		require.Equal(t, `	-- lost: chosen, by "client>server"`, lines[2])
		for _, want := range []string{
			`-- lost: loss, by "client>server"`, `-- duplicated, by "client>server"`, `-- corrupted: bit \d+, by "client>server"`,
			`-- reordered: at once, by "client>server"`,
		} {
			require.Regexp(t, want, why.String())
		}
		// The fate of a packet is told by the time of the decision as well: it is the time of the line above.
		at := ""
		var told []string
		for _, l := range lines {
			switch {
			case strings.HasPrefix(l, "\t-- lost"):
				told = append(told, at)
			case !strings.HasPrefix(l, "\t"):
				at, _, _ = strings.Cut(l, " ")
			}
		}
		var dropped []string
		for _, d := range n.Decisions() {
			if d.Kind == sim.KindDrop && d.Copy == 0 {
				dropped = append(dropped, sim.Epoch.Add(d.At).UTC().Format("15:04:05.000000000"))
			}
		}
		require.Equal(t, dropped, told)
	})
}

// Packets that were lost are in the capture and say so; but for the comments it is the usual one.
func TestExplainPcapng(t *testing.T) {
	inNet(t, sim.NetConfig{Seed: 3}, func(t *testing.T, n *sim.Net) {
		explained(t, n)
		var plain, why bytes.Buffer
		require.NoError(t, n.Recording().WritePcapng(&plain))
		require.NoError(t, n.Recording().ExplainPcapng(&why))
		require.NotContains(t, plain.String(), "lost: ")
		for _, want := range []string{`lost: chosen, by "client>server"`, `lost: loss, by "client>server"`, `duplicated, by "client>server"`} {
			require.Contains(t, why.String(), want)
		}
		require.Equal(t, packetsOf(t, plain.Bytes()), packetsOf(t, why.Bytes()))
		drops := 0
		for _, d := range n.Decisions() {
			if d.Kind == sim.KindDrop {
				drops++
			}
		}
		require.Equal(t, drops, strings.Count(why.String(), "lost: "))
		tshark, err := exec.LookPath("tshark")
		if err != nil {
			return // gopacket has read it
		}
		file := filepath.Join(t.TempDir(), "x.pcapng")
		require.NoError(t, os.WriteFile(file, why.Bytes(), 0o666))
		out, err := exec.Command(tshark, "-r", file, "-Y", `frame.comment contains "lost"`).Output()
		require.NoError(t, err)
		require.Equal(t, drops, bytes.Count(out, []byte("\n")))
	})
}

func packetsOf(t *testing.T, b []byte) (all []string) {
	t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions)
	require.NoError(t, err)
	for {
		data, ci, err := r.ReadPacketData()
		if err == io.EOF {
			return all
		}
		require.NoError(t, err)
		all = append(all, ci.Timestamp.String()+string(data))
	}
}

// The charts of a World are those of a Net: states, losses and retransmissions.
func TestWorldLadders(t *testing.T) {
	draw := func() string {
		w, err := sim.NewWorld(sim.NetConfig{Seed: 5})
		require.NoError(t, err)
		defer w.Close()
		client, server := w.Host("client"), w.Host("server")
		w.LinkOneWay(client, server, sim.Impairment{Delay: 10 * time.Millisecond, DropSegments: []uint64{1}})
		w.LinkOneWay(server, client, sim.Impairment{Delay: 10 * time.Millisecond})
		l, err := server.Listen("tcp", ":80")
		require.NoError(t, err)
		w.Go("server", func() {
			if c, err := l.Accept(); err == nil {
				io.Copy(c, c)
				c.Close()
			}
		})
		c, err := client.Dial("tcp", "server:80")
		require.NoError(t, err)
		_, err = io.WriteString(c, "hello")
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 5))
		require.NoError(t, err)
		c.Close()
		require.NoError(t, w.Run(w.Now()+time.Minute))
		charts := w.Ladders()
		require.Len(t, charts, 1)
		var b strings.Builder
		require.NoError(t, charts[0].WriteText(&b))
		return b.String()
	}
	text := draw()
	for _, want := range []string{"client:", "server:80", "ESTABLISHED", "lost: chosen", "retransmit", "TIME-WAIT"} {
		require.Contains(t, text, want)
	}
	require.Equal(t, text, draw())
}
