package packetdrill

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// handshakeHeader draws settings of a handshake.
func handshakeHeader(rng *rand.Rand) []string {
	set := func(s string) []string { return []string{"`sysctl -w net.ipv4." + s + "`"} }
	switch rng.IntN(14) {
	case 0:
		return set("tcp_ecn=1")
	case 1:
		return set("tcp_ecn=0")
	case 2:
		return set("tcp_timestamps=0")
	case 3:
		return set("tcp_sack=0")
	case 4:
		return set("tcp_window_scaling=0")
	case 5:
		return set("tcp_syncookies=2")
	}
	return nil
}

// oddOptions are options of a SYN in any order and of any value.
func (g *gen) oddOptions() string {
	var list []string
	for range g.rng.IntN(6) {
		now := int(g.at.Milliseconds())
		list = append(list, pick(g,
			fmt.Sprintf("mss %d", pick(g, 0, 1, 40, 47, 48, 64, 88, 216, 536, 1000, 1220, 1460, 9000, 65535)),
			fmt.Sprintf("mss %d", pick(g, 0, 1, 40, 47, 48, 64, 88, 216, 536, 1000, 1220, 1460, 9000, 65535)),
			"sackOK", "sackOK",
			fmt.Sprintf("wscale %d", pick(g, 0, 1, 7, 14, 15, 20, 255)),
			fmt.Sprintf("wscale %d", pick(g, 0, 1, 7, 14, 15, 20, 255)),
			fmt.Sprintf("TS val %d ecr %d", pick(g, 0, 100+now, 1<<31+5), pick(g, 0, 0, 0, 77)),
			"nop", "nop,nop", "eol",
			"bytes 0x0202", "bytes 0x020305", "bytes 0x02040000", "bytes 0x030401", "bytes 0x0402ff", "bytes 0x0403", "bytes 0x080401", "bytes 0x00", "bytes 0xfe04aabb",
			"bytes 0x1e00", "bytes 0x1e01", "bytes 0x05", "bytes 0x0504aabb", "bytes 0x1c04ffff", "bytes 0x2204aabb", "bytes 0xfd0aaabbccdd00112233"))
	}
	text := strings.Join(list, ",")
	script, err := Parse("", "0 < S 0:0(0) win 10"+options(text))
	if err != nil {
		return "mss 1000"
	}
	// A kernel that can do signatures drops segments with malformed options where one would have room.
	const signature = 16
	size := 0
	for _, o := range script.events[0].act.(*packetSpec).tcp.opts {
		size += o.size()
	}
	if size >= signature-4 && strings.Contains(text, "bytes") {
		return "mss 536,sackOK"
	}
	return text
}

// playHandshake has handshakes with odd options, losses and doubtful ACKs.
func playHandshake(g *gen) {
	g.ts, g.scaled = false, false
	ecn := pick(g, "", "", "", "EW", "E", "W")
	opts := g.oddOptions()
	win := pick(g, 65535, 29200, 1000, 0)
	if g.one(2) {
		g.connect()
		g.pause(0, 10)
		if g.one(4) {
			g.anySegment()
			g.pause(10)
		}
		g.segment("S"+pick(g, "", "", "E", "W")+".", 0, 0, 1, win, opts)
	} else {
		g.listen()
		if g.one(5) {
			g.say("setsockopt(3, SOL_TCP, TCP_DEFER_ACCEPT, [%d], 4)", pick(g, 1, 3, 10))
		}
		if g.one(6) {
			g.say("setsockopt(3, SOL_TCP, TCP_MAXSEG, [%d], 4)", pick(g, 88, 536, 1000))
		}
		g.bindListen()
		g.nxt = 0
		g.segment("S"+ecn, 0, 0, 0, win, opts)
		g.pause(10, 10, 10, 1100)
		if g.one(4) {
			g.nxt = 1
			g.anySegment()
			g.pause(10)
		}
	}
	g.nxt = 1
	if strings.Contains(opts, "TS ") && !g.one(6) {
		g.ts = true
	}
	if !g.one(8) {
		g.send(pick(g, ".", ".", "P.", "F."), pick(g, 0, 0, 100))
	}
	g.say("accept4(3, ..., ..., SOCK_NONBLOCK)")
	if g.active {
		g.fd = 3
	}
	g.say("setsockopt(%d, SOL_SOCKET, SO_SNDBUF, [200000], 4)", g.fd)
	g.do(lookInfo)
	g.pause(0, 20)
	g.write(pick(g, 10, 1000, 3000, 10000))
	g.pause(10, 50)
	g.send(".", 0)
	g.do(lookInfo)
	g.send("P.", 10)
	g.pause(50)
	g.look()
	g.pause(300, 1500)
}

// playWindow has a peer whose window opens and closes.
func playWindow(g *gen) {
	g.mss = max(g.mss, 536)
	g.established()
	win := func() int {
		return g.window(pick(g, 0, 0, 1, 100, 500, 1000, 1500, 2000, 3000, 10000, 65535))
	}
	for range 3 + g.rng.IntN(8) {
		switch g.rng.IntN(5) {
		case 0, 1:
			g.write(pick(g, 1, 100, 1000, 3000, 10000, 30000))
		case 2:
			g.segment(".", 0, 0, g.top, win(), g.stamp(0))
		case 3: // a part
			back := uint32(g.rng.IntN(3000))
			if back < g.top {
				g.segment(".", 0, 0, g.top-back, win(), g.stamp(0))
			}
		case 4:
			g.segment("P.", 0, 10, g.top, win(), g.stamp(0))
			g.nxt += 10
		}
		g.pause(0, 10, 50, 120, 330, 700)
		if g.one(4) {
			g.do(lookInfo)
		}
	}
	g.pause(1500)
}

// playSmall writes little at a time, with Nagle's rule and TCP_CORK.
func playSmall(g *gen) {
	g.established()
	for range 4 + g.rng.IntN(10) {
		switch g.rng.IntN(9) {
		case 0, 1, 2:
			g.write(pick(g, 1, 10, 100, 500, 999, 1000, 1001, 1460, 2500))
		case 3:
			n := pick(g, 10, 700, 1500)
			g.say("send(%d, ..., %d, MSG_DONTWAIT|MSG_MORE)", g.fd, n)
			g.wrote += uint32(n)
		case 4:
			g.say("setsockopt(%d, SOL_TCP, TCP_NODELAY, [%d], 4)", g.fd, pick(g, 0, 1, 1))
		case 5:
			g.say("setsockopt(%d, SOL_TCP, TCP_CORK, [%d], 4)", g.fd, pick(g, 0, 1))
		case 6, 7:
			g.send(".", 0)
		case 8:
			g.send("P.", 10)
		}
		g.pause(0, 0, 10, 30, 120)
	}
	if g.one(3) {
		g.closing()
	}
	g.pause(700)
}

// playTimers has keepalives, user time-outs and orphans.
func playTimers(g *gen) {
	g.established()
	opt := func(name string, v int) { g.say("setsockopt(%d, SOL_TCP, %s, [%d], 4)", g.fd, name, v) }
	if g.one(2) {
		g.say("setsockopt(%d, SOL_SOCKET, SO_KEEPALIVE, [1], 4)", g.fd)
		opt("TCP_KEEPIDLE", pick(g, 1, 2))
		opt("TCP_KEEPINTVL", pick(g, 1, 2))
		opt("TCP_KEEPCNT", pick(g, 1, 2, 3))
	}
	if g.one(2) {
		opt("TCP_USER_TIMEOUT", pick(g, 300, 700, 1500, 3000))
	}
	if g.one(3) {
		g.write(pick(g, 10, 5000))
	}
	if g.one(4) {
		g.segment(".", 0, 0, g.top, 0, g.stamp(0))
		g.write(100)
	}
	for range g.rng.IntN(4) {
		g.pause(100, 900, 1700, 2300)
		switch g.rng.IntN(4) {
		case 0:
			g.send(".", 0)
		case 1:
			g.send("P.", 5)
		case 2:
			g.write(10)
		case 3:
			if g.one(2) {
				g.closing()
			}
		}
	}
	g.pause(100, 3000)
	g.look()
	g.pause(2000, 6000)
	g.look()
}

// playICMP has errors about what the kernel sent.
func playICMP(g *gen) {
	g.state(pick(g, "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "ESTABLISHED", "ESTABLISHED", "FIN-WAIT-1", "LAST-ACK"))
	data := g.synced && g.top > 0
	if data && g.one(2) {
		g.write(pick(g, 100, 1000, 3000, 10000))
	}
	for range 1 + g.rng.IntN(3) {
		seq := g.top - 1
		if g.one(2) {
			seq = g.top - min(g.top, uint32(pick(g, 1, 100, 1000, 3000)))
		}
		if g.one(6) {
			seq = g.top + uint32(pick(g, 0, 1000, 100000))
		}
		if !g.synced {
			seq = 0
		}
		what := pick(g, "unreachable host_unreachable", "unreachable net_unreachable", "unreachable port_unreachable", "unreachable protocol_unreachable",
			"unreachable host_prohibited", "unreachable source_route_failed", "time_exceeded", "parameter_problem", "source_quench",
			fmt.Sprintf("unreachable frag_needed mtu %d", pick(g, 0, 40, 68, 100, 296, 552, 576, 1000, 1200, 1400, 1500, 9000)),
			fmt.Sprintf("unreachable frag_needed mtu %d", pick(g, 552, 576, 1000, 1200, 1400)))
		proto := "icmp"
		if g.r.cfg.version == IPv6 {
			proto = "icmpv6"
			what = pick(g, "unreachable address_unreachable", "unreachable no_route", "unreachable port_unreachable", "unreachable admin_prohibited", "time_exceeded",
				"parameter_problem", fmt.Sprintf("packet_too_big mtu %d", pick(g, 500, 1279, 1280, 1300, 1400, 1500, 9000)))
		}
		length := pick(g, 0, 1000, 1460)
		g.say("< %s %s [%d:%d(%d)]", proto, what, seq, seq+uint32(length), length)
		g.pause(0, 10, 100)
		if g.one(2) {
			g.look()
		}
		if data && g.one(2) {
			g.write(pick(g, 1000, 3000))
			g.pause(0, 10)
		}
		if g.one(4) && g.synced {
			g.send(".", 0)
		}
	}
	g.pause(10, 300)
	g.look()
	g.pause(1300)
	g.look()
}

// listenerHeader draws settings of a listener.
func listenerHeader(rng *rand.Rand) []string {
	set := func(s string) []string { return []string{"`sysctl -w net.ipv4." + s + "`"} }
	switch rng.IntN(8) {
	case 0:
		return set("tcp_syncookies=0")
	case 1:
		return set("tcp_abort_on_overflow=1")
	case 2:
		return set("tcp_syncookies=2")
	}
	return nil
}

// playListener has several connections to a listener with a short queue.
func playListener(g *gen) {
	g.listen()
	g.say("bind(3, ..., ...)")
	g.say("listen(3, %d)", pick(g, 0, 1, 2))
	const base = 5001
	state := map[int]int{}
	accepted := 0
	for range 6 + g.rng.IntN(10) {
		port := base + g.rng.IntN(5)
		switch state[port] {
		case 0:
			g.say("< %d > 8080 S 0:0(0) win 65535 <mss 1000,sackOK,nop,wscale 7>", port)
			state[port] = 1
		case 1:
			switch g.rng.IntN(8) {
			case 0:
				g.say("< %d > 8080 S 0:0(0) win 65535 <mss 1000,sackOK,nop,wscale 7>", port)
			case 1:
				g.say("< %d > 8080 R 1:1(0) win 0", port)
			case 2:
				g.say("< %d > 8080 P. 1:101(100) ack 1 win 257", port)
				state[port] = 2
			default:
				g.say("< %d > 8080 . 1:1(0) ack 1 win 257", port)
				state[port] = 2
			}
		default:
			switch g.rng.IntN(6) {
			case 0:
				g.say("< %d > 8080 P. 1:101(100) ack 1 win 257", port)
			case 1:
				g.say("< %d > 8080 F. 1:1(0) ack 1 win 257", port)
			case 2:
				g.say("< %d > 8080 R. 1:1(0) ack 1 win 257", port)
			case 3:
				g.say("< %d > 8080 . 1:1(0) ack 1 win 257", port)
			default:
				g.say("accept4(3, ..., ..., SOCK_NONBLOCK)")
				accepted++
			}
		}
		if g.one(5) {
			g.do(lookPoll)
		}
		g.pause(30, 30, 40, 70, 430)
	}
	for range 3 {
		g.say("accept4(3, ..., ..., SOCK_NONBLOCK)")
	}
	if g.one(2) {
		g.say("close(3)")
	}
	g.pause(1200)
}
