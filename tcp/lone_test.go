package tcp

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// notWhileOut are the methods that nobody calls while text is outstanding, or not without another that is called before; and those
// that are only for a lone one.
var notWhileOut = map[string]bool{
	"Connect": true, "Passive": true, "PassiveCookie": true, "SendLone": true, "SendAck": true, "SendRun": true, "RunSent": true,
	"TimeWait": true, "HeldRead": true, "Inherit": true, "TakeLone": true, "Dialogue": true, "LoneSteady": true, "Kept": true, "ReadKept": true,
}

// arguments are those that a method is called with: as its types have it, the same each time.
func (w *talk) arguments(e *TCB, m reflect.Type) (in []reflect.Value) {
	for i := range m.NumIn() {
		var v any
		switch m.In(i) {
		case reflect.TypeFor[time.Duration]():
			v = w.now
		case reflect.TypeFor[*Segment]():
			v = new(Segment)
		case reflect.TypeFor[[]byte]():
			v = make([]byte, 30)
		case reflect.TypeFor[string]():
			v = "reno"
		case reflect.TypeFor[bool]():
			v = true
		case reflect.TypeFor[KeepAliveConfig]():
			v = KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}
		case reflect.TypeFor[ICMPError]():
			v = ICMPError{Kind: ICMPPacketTooBig, MTU: 600, Seq: e.snd.una}
		case reflect.TypeFor[*Spares]():
			v = &w.spares
		default:
			n := reflect.New(m.In(i)).Elem()
			if n.CanUint() {
				n.SetUint(40)
			} else {
				n.SetInt(40)
			}
			in = append(in, n)
			continue
		}
		in = append(in, reflect.ValueOf(v))
	}
	return in
}

// describe is all of s, which is built by Output.
func describe(t *testing.T, s *Segment) string {
	var text []byte
	for _, p := range s.Payload.Pieces {
		text = append(text, p.B...)
		require.False(t, len(p.B) > 0 && !s.Payload.Lent && p.Owner == nil, "text that may change while it is on its way")
	}
	head := *s
	head.Payload, head.Into, head.Spares = Payload{N: s.Payload.N}, nil, nil
	return fmt.Sprintf("%+v %s", head, text)
}

// lonely is the one that has such a text, queued if it has that in its receive queue.
func (w *talk) lonely(lone loneKind, queued bool) *TCB {
	text := bytes.Repeat([]byte("text"), 12)
	if lone == loneChunk || queued {
		text = bytes.Repeat([]byte("text"), smallText/4+1)
	}
	from, to := w.ends()
	s := sendLone(w.t, w.now, from, text, smallText)
	s.Payload.Release()
	if lone.out() {
		return from
	}
	var h [TSHeaderLen]byte
	s.MarshalHeader(h[:])
	require.True(w.t, to.Dialogue())
	var into []byte
	if lone == loneRead && !queued {
		into = make([]byte, len(text))
	}
	n, _ := to.TakeLone(w.now, &h, text, into, &w.spares)
	require.Equal(w.t, len(text), n)
	return to
}

var addresses = regexp.MustCompile("0x[0-9a-f]+")

// TestLoneIsWhatQueuesSay: nobody can tell that a lone text, outstanding or not read yet, is not in the queues, whatever happens next.
func TestLoneIsWhatQueuesSay(t *testing.T) {
	type happening struct {
		name string
		do   func(w *talk, e *TCB) any
	}
	var all []happening
	methods := reflect.TypeFor[*TCB]()
	for i := range methods.NumMethod() {
		if name := methods.Method(i).Name; !notWhileOut[name] {
			all = append(all, happening{name, func(w *talk, e *TCB) any {
				m := reflect.ValueOf(e).MethodByName(name)
				var out []any
				for _, v := range m.Call(w.arguments(e, m.Type())) {
					if q, ok := v.Interface().(Piece); ok && q.Owner != nil {
						out = append(out, string(q.B))
						q.Owner.Release()
						continue
					}
					out = append(out, v.Interface())
				}
				return out
			}})
		}
	}
	require.Greater(t, len(all), 90)
	arrivesAs := func(name string, n int, input func(w *talk, e *TCB, s *Segment) any) {
		all = append(all, happening{name, func(w *talk, e *TCB) any {
			s := Segment{Flags: ACK, Seq: e.rcv.nxt, Ack: e.snd.nxt, Wnd: 400, SrcPort: e.remotePort, DstPort: e.localPort}
			s.Opts.HasTS, s.Opts.TSVal, s.Opts.TSEcr = true, e.tsRecent, e.tsNow(w.now)
			s.Payload = Payload{Pieces: [2]Piece{{B: make([]byte, n)}}, N: n, Lent: true}
			return input(w, e, &s)
		}})
	}
	arrives := func(name string, n int, change func(e *TCB, s *Segment)) {
		arrivesAs(name, n, func(w *talk, e *TCB, s *Segment) any {
			change(e, s)
			e.Input(w.now, s)
			return s.Taken
		})
	}
	arrives("its ACK", 0, func(*TCB, *Segment) {})
	arrives("its ACK and text", 30, func(*TCB, *Segment) {})
	arrives("an answer with room for it", 30, func(_ *TCB, s *Segment) { s.Flags |= PSH; s.Into = make([]byte, 30) })
	arrives("text without its ACK", 30, func(e *TCB, s *Segment) { s.Ack = e.snd.una })
	arrives("an older ACK", 0, func(e *TCB, s *Segment) { s.Ack = e.snd.una })
	arrives("an ACK of a part", 0, func(e *TCB, s *Segment) { s.Ack = e.snd.una + 10 })
	arrives("SACK of a part", 0, func(e *TCB, s *Segment) {
		s.Ack, s.Opts.NSACK, s.Opts.SACK[0] = e.snd.una, 1, Range{e.snd.una + 10, e.snd.nxt}
	})
	arrives("an ACK of more", 0, func(_ *TCB, s *Segment) { s.Ack++ })
	arrives("text that is not the next", 30, func(_ *TCB, s *Segment) { s.Seq += 100 })
	arrives("much text", 3000, func(e *TCB, s *Segment) { s.Ack = e.snd.una })
	arrivesAs("one of a run, in the same instant", 2000, func(w *talk, e *TCB, s *Segment) any {
		e.tally() // or it would be when the text came
		e.lastRecv, s.Ack, s.Wnd = w.now, e.snd.una, uint16(e.snd.wnd>>e.snd.scale)
		if e.Readable() > 0 {
			require.True(w.t, e.InputBorrowed(w.now, s, 1))
			return e.OwnBorrowed()
		}
		require.True(w.t, e.InputHeld(w.now, s, 1, 2000))
		e.HeldRead(w.now, 2000)
		return nil
	})
	arrives("a FIN", 0, func(_ *TCB, s *Segment) { s.Flags |= FIN })
	arrives("a reset", 0, func(_ *TCB, s *Segment) { s.Flags = RST })
	later := func(name string, then func(w *talk, e *TCB)) {
		all = append(all, happening{name, func(w *talk, e *TCB) any { then(w, e); return nil }})
	}
	later("nothing for long", func(w *talk, e *TCB) {
		for i := 0; i < 4 && e.Deadline() != Never; i++ {
			w.now = e.Deadline()
			e.Timeout(w.now)
			var out Segment
			e.Output(w.now, &out)
			out.Payload.Release()
		}
	})
	later("more at once", func(w *talk, e *TCB) { e.SetNoDelay(true); e.Write(w.now, make([]byte, 3000)) })
	later("a loan behind it", func(w *talk, e *TCB) { e.Lend(w.now, make([]byte, 3000), false, nil) })
	later("its time has come", func(w *talk, e *TCB) { w.now = e.Deadline(); e.Timeout(w.now) })

	for _, tt := range all {
		for i, lone := range []loneKind{loneSmall, loneChunk, loneKept, loneRead, loneRead} {
			queued := i == 4
			t.Run(fmt.Sprintf("%s, %d, queued %v", tt.name, lone, queued), func(t *testing.T) {
				follow := func(queues bool) (seen []string) {
					w := newTalk(t, true)
					w.now += 5 * time.Millisecond
					e := w.lonely(lone, queued)
					require.Equal(t, lone, e.snd.lone)
					if queues {
						e.queues()
					}
					w.now += time.Millisecond
					look := func() { seen = append(seen, addresses.ReplaceAllString(state(e), "")) }
					seen = append(seen, fmt.Sprintf("%+v", tt.do(w, e)))
					look()
					for range 3 { // and what comes of it
						for i, out := 0, new(Segment); i < 20 && e.Output(w.now, out); i++ {
							seen = append(seen, describe(t, out))
							out.Payload.Release()
						}
						look()
						if w.now = e.Deadline(); w.now == Never {
							break
						}
						e.Timeout(w.now)
					}
					w.a.Release()
					w.b.Release()
					require.Nil(t, e.x)
					require.Zero(t, w.alloc.out)
					return seen
				}
				require.Equal(t, follow(true), follow(false))
			})
		}
	}
}

// TestManyLones: a dialogue that nobody asks about for longer than its texts can be counted is counted on the way.
func TestManyLones(t *testing.T) {
	const n = 100
	w := newTalk(t, true)
	from, to := w.ends()
	a, b, taken := from.Info(w.now), to.Info(w.now), w.taken
	const rounds = mostLone + 40
	for range 2 * rounds {
		w.say(n)
	}
	require.GreaterOrEqual(t, w.taken-taken, 2*rounds-4, "hardly one for Input")
	require.Less(t, w.taken-taken, 2*rounds, "but some")
	for _, e := range []struct {
		name   string
		before Info
		e      *TCB
	}{{"from", a, from}, {"to", b, to}} {
		require.Equal(t, uint8(255), e.e.ack.pingpong, e.name)
		i := e.e.Info(w.now)
		require.Equal(t, rounds, int(i.DataSegsIn-e.before.DataSegsIn), e.name)
		require.Equal(t, rounds, int(i.DataSegsOut-e.before.DataSegsOut), e.name)
		require.Equal(t, n*rounds, int(i.BytesReceived-e.before.BytesReceived), e.name)
		require.InDelta(t, n*rounds, i.BytesAcked-e.before.BytesAcked, n, e.name)
	}
}

// TestLoneFillsWindow: a window that is full with one text, or goes unused, is what it would be by the long way.
func TestLoneFillsWindow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cwnd  uint32
		stale time.Duration
		taken bool // the answer, by TakeLone
	}{
		{"one segment", 1, 0, false},
		{"enough", 2, 0, true},
		{"unused", 30, time.Second, false},
		{"used", 30, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			follow := func(take bool) (all []string) {
				w := newTalk(t, take)
				from, to := w.ends()
				from.unfold()
				from.cong.Cwnd = tt.cwnd
				from.cong.stamp -= tt.stale
				w.say(50)
				all = append(all, state(from))
				taken := w.taken
				w.say(50)
				require.Equal(t, take && tt.taken, w.taken > taken)
				return append(all, state(from), state(to))
			}
			require.Equal(t, follow(false), follow(true))
		})
	}
}
