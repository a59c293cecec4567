package packetdrill

import "strings"

// The family "states" is not random: seed by seed it has every event in every state.

// everyState lists the states of connections, each once.
func everyState() []string {
	return strings.Fields("CLOSED LISTEN SYN-SENT SYN-RECEIVED SYN-CROSSED ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSING CLOSE-WAIT LAST-ACK TIME-WAIT")
}

// everyEvent lists what can happen in a state.
func everyEvent() []func(*gen) {
	segment := func(flags string, off, length, ack int) func(*gen) {
		return func(g *gen) { g.segment(flags, off, length, g.top+uint32(ack), g.window(65535)) }
	}
	edge := func(flags string, off, length int) func(*gen) {
		return func(g *gen) {
			g.segment(flags, int(int32(g.edge-g.nxt))+off, length, g.top, g.window(65535))
		}
	}
	call := func(f func(*gen)) func(*gen) { return f }
	return []func(*gen){
		segment("S", 0, 0, 0), segment("S", 100, 0, 0), edge("S", 1000, 0), segment("S.", 0, 0, 0), segment("S.", -1, 0, 0), segment("SF", 100, 0, 0),
		segment("R", 0, 0, 0), segment("R", 1, 0, 0), edge("R", 1, 0), segment("R", -1, 0, 0), segment("R.", 0, 0, 0), segment("R.", 0, 0, 1),
		segment("F.", 0, 0, 0), segment("F.", 0, 10, 0), segment("F.", 10, 0, 0), segment("F", 0, 0, 0), segment("-", 0, 0, 0), segment("P", 0, 10, 0),
		segment(".", 0, 0, 0), segment(".", 0, 0, 1), segment(".", 0, 0, -1), segment(".", 0, 0, -100000), segment(".", -1, 0, 0), segment(".", -1, 1, 0),
		segment("P.", 0, 10, 0), segment("P.", 10, 10, 0), edge("P.", -5, 10), edge("P.", 0, 10),
		call((*gen).closing), call(func(g *gen) { g.shut("SHUT_WR") }), call(func(g *gen) { g.shut("SHUT_RD") }), call(func(g *gen) { g.shut("SHUT_RDWR") }),
		call(func(g *gen) {
			g.say("setsockopt(%d, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8)", g.fd)
			g.closing()
		}),
		call(func(g *gen) { g.write(100) }), call(func(g *gen) { g.read(100) }),
	}
}

// playStates plays one event in one state.
func playStates(g *gen) {
	states, events := everyState(), everyEvent()
	n := int(g.r.seed)
	g.ts, g.sack, g.scaled, g.mss, g.wscale, g.plain = false, true, true, 1000, 7, true
	name := states[n%len(states)]
	g.state(name)
	if (name == "CLOSED" || name == "LISTEN" || name == "SYN-RECEIVED") && !g.active {
		g.fd = 3
	}
	g.pause(100)
	events[n/len(states)%len(events)](g)
	g.pause(50)
	g.do(lookPoll)
	g.do(lookInfo)
	g.do(lookError)
	g.pause(100)
	g.send(".", 0)
	g.pause(100)
}
