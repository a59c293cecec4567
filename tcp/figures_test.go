package tcp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The figures of RFC 9293 §3.5 and §3.6 as tables, run with a real TCB at either end. A step is what one end
// does or sends; the segment is checked, and delivered now, later or never; then the states are compared.
type step struct {
	do    string // what the user of an end does: "A connect", "B close" …
	from  string // "A" or "B": this end sends …
	seg   string // … this: "SEQ=100 CTL=SYN", "SEQ=100 ACK=300 CTL=FIN,ACK DATA=10"
	hold  bool   // the segment stays in the network ("...")
	take  string // a held segment arrives: its text
	stray string // "A SEQ=…": a segment from before arrives at that end
	a, b  string // states after the step; "" is not looked at
}

type figure struct {
	name  string
	setup func(f *figureRun)
	steps []step
}

type figureRun struct {
	t      *testing.T
	now    time.Duration
	a, b   TCB
	listen map[string]bool
	isses  map[string][]Seq
	held   []Segment
	log    []string
}

func (f *figureRun) end(who string) *TCB {
	if who == "A" {
		return &f.a
	}
	return &f.b
}

func (f *figureRun) params(who string) *Params {
	iss := f.isses[who][0]
	if len(f.isses[who]) > 1 {
		f.isses[who] = f.isses[who][1:]
	}
	p := &Params{Local: hostA, Remote: hostB, MTU: 1500, ISS: iss, Config: (&Config{Timestamps: Off}).Defaults()}
	if who == "B" {
		p.Local, p.Remote = hostB, hostA
	}
	return p
}

func segText(s *Segment) string {
	var ctl []string
	for _, f := range []struct {
		f Flags
		n string
	}{{SYN, "SYN"}, {FIN, "FIN"}, {RST, "RST"}, {ACK, "ACK"}} {
		if s.Flags&f.f != 0 {
			ctl = append(ctl, f.n)
		}
	}
	text := fmt.Sprintf("SEQ=%d", uint32(s.Seq))
	if s.Flags&ACK != 0 {
		text += fmt.Sprintf(" ACK=%d", uint32(s.Ack))
	}
	text += " CTL=" + strings.Join(ctl, ",")
	if s.Payload.N > 0 {
		text += fmt.Sprintf(" DATA=%d", s.Payload.N)
	}
	return text
}

func (f *figureRun) deliver(to string, s *Segment) {
	e := f.end(to)
	if f.listen[to] && e.State() == StateClosed {
		switch ListenInput(s) {
		case ListenSYN:
			*e = TCB{}
			e.Passive(f.now, f.params(to), s)
		case ListenACK, ListenReset:
			e.Input(f.now, s) // answers with a reset, as for any segment without a connection
		}
		return
	}
	e.Input(f.now, s)
}

func other(who string) string {
	if who == "A" {
		return "B"
	}
	return "A"
}

func (f *figureRun) user(do string) {
	who, verb, _ := strings.Cut(do, " ")
	e := f.end(who)
	switch verb {
	case "connect":
		e.Connect(f.now, f.params(who))
	case "close":
		e.Close(f.now)
	case "send 10":
		require.Equal(f.t, 10, e.Write(f.now, make([]byte, 10)))
	case "reboot":
		*e = TCB{}
	case "retry", "ack": // what a timer does
		f.now = max(f.now, e.Deadline())
		e.Timeout(f.now)
	case "2MSL":
		f.now += time.Minute
		e.Timeout(f.now)
	case "idle":
		var s Segment
		require.False(f.t, e.Output(f.now, &s), "%s sends %s\n%s", who, segText(&s), strings.Join(f.log, "\n"))
	default:
		f.t.Fatalf("what is %q?", do)
	}
}

func (f *figureRun) run(steps []step) {
	for i, st := range steps {
		f.now += time.Millisecond
		fail := func(format string, args ...any) {
			f.t.Helper()
			f.t.Fatalf("step %d: %s\n%s", i+1, fmt.Sprintf(format, args...), strings.Join(f.log, "\n"))
		}
		if st.do != "" {
			f.user(st.do)
		}
		var s Segment
		switch {
		case st.from != "":
			if !f.end(st.from).Output(f.now, &s) {
				fail("%s sends nothing, want %s", st.from, st.seg)
			}
			if got := segText(&s); got != st.seg {
				fail("%s sends %s, want %s", st.from, got, st.seg)
			}
			if st.hold {
				f.held = append(f.held, s)
			} else {
				f.deliver(other(st.from), &s)
			}
		case st.take != "":
			who, text, _ := strings.Cut(st.take, " ")
			found := false
			for _, h := range f.held {
				if segText(&h) == text {
					f.deliver(who, &h)
					found = true
				}
			}
			if !found {
				fail("nothing like %s is in the network", text)
			}
		case st.stray != "":
			var who string
			var seq, ack uint32
			_, err := fmt.Sscanf(st.stray, "%s SEQ=%d", &who, &seq)
			require.NoError(f.t, err)
			_ = ack
			s = Segment{Seq: Seq(seq), Flags: SYN, Wnd: 1000, SrcPort: hostB.Port(), DstPort: hostA.Port()}
			f.deliver(who, &s)
		}
		f.log = append(f.log, fmt.Sprintf("%2d. %-12v %s%s%s%s %12v", i+1, f.a.State(), st.do, st.from, st.seg, st.take, f.b.State()))
		if st.a != "" && f.a.State().String() != st.a {
			fail("A is in %v, want %s", f.a.State(), st.a)
		}
		if st.b != "" && f.b.State().String() != st.b {
			fail("B is in %v, want %s", f.b.State(), st.b)
		}
	}
}

// atHundred makes an established connection in which A sends from 100 on and B from 300 on.
func atHundred(f *figureRun) {
	f.isses = map[string][]Seq{"A": {99}, "B": {299}}
	f.listen["B"] = true
	f.run([]step{
		{do: "A connect"},
		{from: "A", seg: "SEQ=99 CTL=SYN"},
		{from: "B", seg: "SEQ=299 ACK=100 CTL=SYN,ACK"},
		{from: "A", seg: "SEQ=100 ACK=300 CTL=ACK", a: "ESTABLISHED", b: "ESTABLISHED"},
	})
	f.listen["B"] = false
	f.log = nil
}

var figures = []figure{
	{
		name: "6 basic three-way handshake",
		steps: []step{
			{do: "A connect", a: "SYN-SENT"},
			{from: "A", seg: "SEQ=100 CTL=SYN", b: "SYN-RECEIVED"},
			{from: "B", seg: "SEQ=300 ACK=101 CTL=SYN,ACK", a: "ESTABLISHED", b: "SYN-RECEIVED"},
			{from: "A", seg: "SEQ=101 ACK=301 CTL=ACK", a: "ESTABLISHED", b: "ESTABLISHED"},
			{do: "A send 10"},
			{from: "A", seg: "SEQ=101 ACK=301 CTL=ACK DATA=10", a: "ESTABLISHED", b: "ESTABLISHED"},
		},
	},
	{
		name:  "7 simultaneous connection synchronization",
		setup: func(f *figureRun) { f.listen["B"] = false },
		steps: []step{
			{do: "A connect", a: "SYN-SENT"},
			{do: "B connect", b: "SYN-SENT"},
			{from: "A", seg: "SEQ=100 CTL=SYN", hold: true},
			{from: "B", seg: "SEQ=300 CTL=SYN", a: "SYN-RECEIVED"},
			{take: "B SEQ=100 CTL=SYN", b: "SYN-RECEIVED"},
			{from: "A", seg: "SEQ=100 ACK=301 CTL=SYN,ACK", hold: true, a: "SYN-RECEIVED"},
			{from: "B", seg: "SEQ=300 ACK=101 CTL=SYN,ACK", a: "ESTABLISHED"},
			{take: "B SEQ=100 ACK=301 CTL=SYN,ACK", b: "ESTABLISHED"},
		},
	},
	{
		name: "8 recovery from old duplicate SYN",
		setup: func(f *figureRun) {
			f.isses["B"] = []Seq{300, 400}
		},
		steps: []step{
			{do: "A connect", a: "SYN-SENT"},
			{from: "A", seg: "SEQ=100 CTL=SYN", hold: true},
			{stray: "B SEQ=90", b: "SYN-RECEIVED"},
			{from: "B", seg: "SEQ=300 ACK=91 CTL=SYN,ACK", a: "SYN-SENT", b: "SYN-RECEIVED"},
			{from: "A", seg: "SEQ=91 CTL=RST", a: "SYN-SENT", b: "CLOSED"}, // the listener goes on
			{take: "B SEQ=100 CTL=SYN", b: "SYN-RECEIVED"},
			{from: "B", seg: "SEQ=400 ACK=101 CTL=SYN,ACK", a: "ESTABLISHED"},
			{from: "A", seg: "SEQ=101 ACK=401 CTL=ACK", a: "ESTABLISHED", b: "ESTABLISHED"},
		},
	},
	{
		name:  "9 half-open connection discovery",
		setup: atHundred,
		steps: []step{
			{do: "A reboot", a: "CLOSED", b: "ESTABLISHED"},
			{do: "A connect", a: "SYN-SENT"},
			{from: "A", seg: "SEQ=400 CTL=SYN", b: "ESTABLISHED"},
			{from: "B", seg: "SEQ=300 ACK=100 CTL=ACK", a: "SYN-SENT"},
			{from: "A", seg: "SEQ=100 CTL=RST", a: "SYN-SENT", b: "CLOSED"},
			// Our A tries again at once, sooner than its timer: the obstacle is gone.
			{do: "A retry"},
			{from: "A", seg: "SEQ=400 CTL=SYN", a: "SYN-SENT"},
		},
	},
	{
		name:  "10 active side causes half-open connection discovery",
		setup: atHundred,
		steps: []step{
			{do: "A reboot", a: "CLOSED", b: "ESTABLISHED"},
			{do: "B send 10"},
			{from: "B", seg: "SEQ=300 ACK=100 CTL=ACK DATA=10"},
			{from: "A", seg: "SEQ=100 CTL=RST", b: "CLOSED"},
		},
	},
	{
		name:  "11 old duplicate SYN initiates a reset on two passive sockets",
		setup: func(f *figureRun) { f.listen["A"] = true },
		steps: []step{
			{stray: "B SEQ=7000", b: "SYN-RECEIVED"},
			{from: "B", seg: "SEQ=300 ACK=7001 CTL=SYN,ACK", a: "CLOSED"},
			{from: "A", seg: "SEQ=7001 CTL=RST", b: "CLOSED"},
			{do: "A idle"}, {do: "B idle"},
		},
	},
	{
		name:  "12 normal close sequence",
		setup: atHundred,
		steps: []step{
			{do: "A close", a: "FIN-WAIT-1"},
			{from: "A", seg: "SEQ=100 ACK=300 CTL=FIN,ACK", b: "CLOSE-WAIT"},
			{do: "B ack"},
			{from: "B", seg: "SEQ=300 ACK=101 CTL=ACK", a: "FIN-WAIT-2", b: "CLOSE-WAIT"},
			{do: "B close", b: "LAST-ACK"},
			{from: "B", seg: "SEQ=300 ACK=101 CTL=FIN,ACK", a: "TIME-WAIT", b: "LAST-ACK"},
			{from: "A", seg: "SEQ=101 ACK=301 CTL=ACK", a: "TIME-WAIT", b: "CLOSED"},
			{do: "A 2MSL", a: "CLOSED"},
		},
	},
	{
		name:  "13 simultaneous close sequence",
		setup: atHundred,
		steps: []step{
			{do: "A close", a: "FIN-WAIT-1"},
			{do: "B close", b: "FIN-WAIT-1"},
			{from: "A", seg: "SEQ=100 ACK=300 CTL=FIN,ACK", hold: true},
			{from: "B", seg: "SEQ=300 ACK=100 CTL=FIN,ACK", a: "CLOSING"},
			{take: "B SEQ=100 ACK=300 CTL=FIN,ACK", b: "CLOSING"},
			{from: "A", seg: "SEQ=101 ACK=301 CTL=ACK", hold: true, a: "CLOSING"},
			{from: "B", seg: "SEQ=301 ACK=101 CTL=ACK", a: "TIME-WAIT"},
			{take: "B SEQ=101 ACK=301 CTL=ACK", b: "TIME-WAIT"},
			{do: "A 2MSL", a: "CLOSED"},
			{do: "B 2MSL", b: "CLOSED"},
		},
	},
}

func TestFigures(t *testing.T) {
	for _, fig := range figures {
		t.Run("figure "+fig.name, func(t *testing.T) {
			f := &figureRun{t: t, now: time.Second, listen: map[string]bool{"B": true},
				isses: map[string][]Seq{"A": {100}, "B": {300}}}
			if fig.setup != nil {
				fig.setup(f)
			}
			f.isses["A"] = []Seq{100}
			if strings.HasPrefix(fig.name, "9") {
				f.isses["A"] = []Seq{400}
			}
			f.run(fig.steps)
			t.Log("\n" + strings.Join(f.log, "\n"))
		})
	}
}

// TestSelfConnect: a socket that connects to itself opens simultaneously with itself (RFC 9293 §3.5).
func TestSelfConnect(t *testing.T) {
	var e TCB
	now := time.Second
	self := netip.MustParseAddrPort("127.0.0.1:7777")
	e.Connect(now, &Params{Local: self, Remote: self, MTU: 16436, ISS: 100})
	var s Segment
	for range 10 {
		if e.Output(now, &s) {
			in := s
			e.Input(now, &in)
			s.Payload.Release()
		}
	}
	require.Equal(t, StateEstablished, e.State())
	require.Equal(t, 5, e.Write(now, []byte("hello")))
	for e.Output(now, &s) {
		in := s
		e.Input(now, &in)
		s.Payload.Release()
	}
	buf := make([]byte, 10)
	require.Equal(t, 5, e.Read(now, buf))
	require.Equal(t, "hello", string(buf[:5]))
}
