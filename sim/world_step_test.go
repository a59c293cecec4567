package sim_test

import (
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/loopback/sim"
)

// stepAll makes all steps and returns what each was, without what depends on the seed.
func stepAll(t *testing.T, w *sim.World) (all []sim.Event, text string) {
	t.Helper()
	var s strings.Builder
	for {
		e, ok := w.Step()
		if !ok {
			break
		}
		all = append(all, e)
		s.WriteString(e.String() + "\n")
	}
	require.NoError(t, w.Err())
	text = regexp.MustCompile(`, options \[[^\]]*\]|, (seq|ack|win) \d{3,}`).ReplaceAllString(s.String(), "")
	client, port := w.Host("client").Addr().String(), ""
	for _, e := range all {
		if e.Flow.Src.Addr().String() == client && e.Flow.Src.Port() != 80 {
			port = strconv.Itoa(int(e.Flow.Src.Port()))
		}
	}
	text = strings.NewReplacer(client+"."+port, "C", client+":"+port, "C", "client:"+port, "client",
		w.Host("server").Addr().String(), "S").Replace(text)
	return all, text
}

// Step tells what happened, to whom and why.
func TestWorldStep(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		client, server := w.Host("client"), w.Host("server")
		w.Link(client, server, sim.Impairment{Delay: 20 * time.Millisecond, DropSegments: []uint64{1}})
		l, err := server.Listen("tcp", ":80")
		require.NoError(t, err)
		w.Go("server", func() {
			c, err := l.Accept()
			must(err)
			io.Copy(io.Discard, c)
			c.Close()
		})
		w.Go("client", func() {
			c, err := client.Dial("tcp", "server:80")
			must(err)
			io.WriteString(c, "hello")
			w.Sleep(time.Second)
			c.Close()
		})
		all, text := stepAll(t, w)
		require.Equal(t, strings.TrimPrefix(`
0.000 s: start of server
    server runs
0.000000001 s: start of client
    client runs
    client CLOSED → SYN-SENT
    sends C > S.80: Flags [S], length 0 (syn)
0.020000001 s: delivery of C > S.80: Flags [S], length 0
    server:80 CLOSED → SYN-RECEIVED
    sends S.80 > C: Flags [S.], length 0 (syn-ack)
0.040000001 s: delivery of S.80 > C: Flags [S.], length 0
    client rtt 40ms, srtt 40ms, rto 240ms
    client SYN-SENT → ESTABLISHED
    sends C > S.80: Flags [.], ack 1, length 0 (ack)
    client runs
    sends C > S.80: Flags [P.], seq 1:6, ack 1, length 5: HTTP (new-data)
    drop of segment 1 of C>S:80 at 0.040000001 s by "client>server": chosen
0.060000001 s: delivery of C > S.80: Flags [.], ack 1, length 0
    server:80 rtt 40ms, srtt 40ms, rto 240ms
    server:80 SYN-RECEIVED → ESTABLISHED
    server runs
`, "\n"), text[:max(0, strings.Index(text, "0.280"))], text)
		require.Contains(t, text, "client timer loss-probe\n")
		require.Contains(t, text, "sends C > S.80: Flags [P.], seq 1:6, ack 1, length 5: HTTP (retransmit-tlp)\n")
		require.Contains(t, text, "wake of client\n    client runs\n    client ESTABLISHED → FIN-WAIT-1\n")
		require.Contains(t, text, "    server ends\n")
		require.Contains(t, text, "timer of C>S:80\n    nothing is due yet\n")
		require.True(t, strings.HasSuffix(text, "timer of C>S:80\n    client is forgotten\n"), text)

		require.EqualValues(t, len(all), w.Events())
		for i, e := range all {
			require.EqualValues(t, i+1, e.Number)
			require.True(t, i == 0 || e.At > all[i-1].At, "each has an instant of its own")
		}
		syn := all[2]
		require.Equal(t, sim.EventDelivery, syn.Kind)
		require.Equal(t, client.Addr(), syn.Flow.Src.Addr())
		require.NotEmpty(t, syn.Packet)
		require.Equal(t, "server", all[0].Name)
	})
}

// A watcher that comes late knows the sequence numbers all the same; planned functions, contexts and datagrams have steps, too.
func TestWorldStepKinds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *sim.World) {
		c, _ := worldPair(t, w)
		require.NoError(t, w.Run(time.Second))
		_, err := c.Write([]byte("xyz"))
		require.NoError(t, err)
		e, ok := w.Step()
		require.True(t, ok)
		require.Contains(t, e.String(), "seq 1:4, ack 1")

		u, err := w.Host("server").ListenPacket("udp", ":53")
		require.NoError(t, err)
		w.Go("reads", func() {
			u.SetReadDeadline(w.Time().Add(time.Second))
			_, _, err := u.ReadFrom(make([]byte, 1))
			require.Error(t, err)
		})
		w.At(100*time.Millisecond, func() {})
		_, cancel := w.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		kinds := map[sim.EventKind]sim.Event{}
		for w.Now() < 2*time.Second {
			e, ok := w.Step()
			require.True(t, ok)
			if e.Flow.Proto != 6 {
				kinds[e.Kind] = e
			}
		}
		require.Contains(t, kinds, sim.EventPlan)
		require.Equal(t, "timeout", kinds[sim.EventTimeout].Kind.String())
		timer := kinds[sim.EventTimer]
		require.Equal(t, u.LocalAddr().(*net.UDPAddr).AddrPort(), timer.Flow.Src)
		require.Equal(t, []string{"reads runs", "reads ends"}, timer.Notes)
		require.Equal(t, "kind 99", sim.EventKind(99).String())
	})
}
