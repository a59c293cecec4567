package packetdrill

import (
	"fmt"
	"strings"
)

func families() []family {
	return []family{
		{name: "segments", play: playSegments},
		{name: "states", play: playStates},
		{name: "close", play: playClose},
		{name: "receiver", play: playReceiver},
		{name: "sender", play: playSender, header: senderHeader},
		{name: "handshake", play: playHandshake, header: handshakeHeader},
		{name: "window", play: playWindow},
		{name: "small", play: playSmall},
		{name: "timers", play: playTimers},
		{name: "icmp", play: playICMP},
		{name: "listener", play: playListener, header: listenerHeader, ports: true},
		{name: "rounds", play: playRounds, header: senderHeader},
	}
}

func states() []string {
	return strings.Fields("CLOSED LISTEN SYN-SENT SYN-RECEIVED SYN-CROSSED ESTABLISHED ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 CLOSING CLOSE-WAIT LAST-ACK TIME-WAIT")
}

// playSegments sends segments of every kind in every state.
func playSegments(g *gen) {
	g.state(pick(g, states()...))
	for range 1 + g.rng.IntN(4) {
		g.anySegment()
		if g.one(3) {
			g.look()
		}
		g.pause(0, 0, 10, 100, 510)
	}
	if g.r.files[3] != nil && g.r.files[3].listening && g.one(2) {
		g.say("accept4(3, ..., ..., SOCK_NONBLOCK)")
	}
	g.look()
	if g.one(3) {
		g.closing()
	}
	g.pause(300, 1300)
}

// anySegment is a segment that may have anything wrong.
func (g *gen) anySegment() {
	flags := pick(g, ".", ".", ".", "P.", "F.", "S", "S", "S.", "R", "R", "R.", "F", "P", "-", "SF", "SF.", "SR", "FR.", "FP.", "SFRP.", "FR")
	wnd := int(int32(g.edge - g.nxt))
	off := pick(g, 0, 0, 0, 0, 0, -1, 1, -10, 100, -1000, wnd-1, wnd, wnd+1, wnd+1000, -1<<30, 1<<30)
	if int32(g.acked-g.nxt) < 0 && g.one(2) {
		off = int(int32(g.acked - g.nxt))
	}
	length := 0
	if !strings.Contains(flags, "S") || g.one(4) {
		length = pick(g, 0, 0, 0, 1, 10, 1000)
	}
	ack := g.top + uint32(int32(pick(g, 0, 0, 0, 0, 0, -1, 1, 1000, -1000, -100000, 1<<30, -1<<30)))
	win := pick(g, g.window(65535), g.window(65535), 0, 1)
	var opts []string
	if strings.Contains(flags, "S") {
		opts = append(opts, strings.Trim(g.synOptions(), " <>"))
		if g.one(3) {
			opts = nil
		}
	} else if g.ts || g.one(10) {
		now := int(g.at.Milliseconds())
		val, ecr := 100+now, firstStamp+now
		switch g.rng.IntN(10) {
		case 0:
			val -= 10000
		case 1:
			val--
		case 2:
			val += 100000
		case 3:
			ecr = 0
		case 4:
			ecr += 5000
		case 5:
			val = 0
		}
		if !g.one(6) {
			opts = append(opts, fmt.Sprintf("nop,nop,TS val %d ecr %d", uint32(val), ecr))
		}
	}
	text := fmt.Sprintf("< %s ", flags)
	start := g.nxt + uint32(off)
	text += fmt.Sprintf("%d:%d(%d)", start, start+uint32(length), length)
	if strings.Contains(flags, ".") {
		text += fmt.Sprintf(" ack %d", ack)
	}
	g.say("%s win %d%s", text, win, options(opts...))
	if off == 0 && !strings.Contains(flags, "R") && int32(g.acked-g.nxt) > 0 {
		g.nxt = g.acked
	}
}

// playClose closes in every order.
func playClose(g *gen) {
	g.established()
	if g.one(5) {
		g.say("setsockopt(%d, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8)", g.fd)
	}
	if g.one(6) {
		g.say("setsockopt(%d, SOL_TCP, TCP_LINGER2, [%d], 4)", g.fd, pick(g, -1, 1, 3))
	}
	for range 4 + g.rng.IntN(7) {
		g.closeStep()
		if g.one(4) {
			g.look()
		}
		g.pause(0, 0, 10, 20, 60, 110)
	}
	g.look()
	g.pause(100, 500, 2500)
}

func (g *gen) closeStep() {
	switch g.rng.IntN(14) {
	case 0, 1:
		g.write(pick(g, 1, 500, 1000, 5000, 10000))
	case 2:
		g.read(pick(g, 1, 100, 10000))
	case 3:
		g.shut("SHUT_WR")
	case 4:
		g.shut(pick(g, "SHUT_RD", "SHUT_RDWR"))
	case 5:
		g.closing()
	case 6, 7:
		g.send("P.", pick(g, 1, 100, 1000))
	case 8:
		g.send("F.", pick(g, 0, 0, 100))
	case 9:
		if g.one(3) {
			g.send(pick(g, "R.", "R"), 0)
			return
		}
		g.send(".", 0)
	case 10, 11:
		g.send(".", 0) // everything
	case 12: // all but the last
		g.segment(".", 0, 0, g.top-1, g.window(65535), g.stamp(0))
	case 13: // again
		g.segment(pick(g, ".", "P.", "F."), pick(g, -1, -100), pick(g, 0, 1, 200), g.top, g.window(65535), g.stamp(0))
	}
}

// playReceiver sends data in random order, with overlaps and duplicates.
func playReceiver(g *gen) {
	g.established()
	size := pick(g, 100, 500, 1000, 1000, 1460)
	base := 0
	const pool = 14
	next := 0
	if g.one(15) {
		g.say("setsockopt(%d, SOL_SOCKET, SO_RCVBUF, [%d], 4)", g.fd, pick(g, 4096, 10000))
	}
	for range 6 + g.rng.IntN(16) {
		i := next
		switch g.rng.IntN(6) {
		case 0, 1:
			i = next + 1 + g.rng.IntN(3)
			if g.one(2) {
				next = i + 1
			}
		case 2:
			i = max(0, next-1-g.rng.IntN(4))
		default:
			next++
		}
		i = min(i, pool)
		start, length := base+i*size, size
		if g.one(8) {
			start = max(0, start+pick(g, -size/2, size/2, -1, 1))
			length = pick(g, 1, size, size*2/3, min(1460, size*2))
		}
		flags := pick(g, ".", ".", "P.")
		if g.one(25) {
			flags = "FP."
		}
		g.segment(flags, start, length, g.top, g.window(65535), g.stamp(pick(g, 0, 0, 0, 1, 20)))
		switch g.rng.IntN(8) {
		case 0:
			g.read(pick(g, 100, 1000, 50000))
		case 1:
			g.write(pick(g, 10, 1000))
		case 2:
			g.do(lookQueue)
		}
		g.pause(0, 0, 0, 2, 5, 20, 60, 120)
	}
	g.read(100000)
	g.pause(100, 300)
}
