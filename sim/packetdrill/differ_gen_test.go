package packetdrill

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// gen makes up one script while it is played on our stack, whose clock is
// virtual: the same seed makes the same script as long as the stack does the
// same. It is the peer and the application in one.
type gen struct {
	*player
	rng *rand.Rand

	// What the peer negotiates.
	ts, sack, scaled bool
	mss, wscale      int

	plain  bool // nothing at random on the way into a state
	active bool
	fd     int    // the connection's, in the script
	nxt    uint32 // next sequence number of the peer
	wrote  uint32 // bytes written by the application
	top    uint32 // end of what the kernel sent
	acked  uint32 // what it acknowledged last
	edge   uint32 // right edge of the window that it offers
	shift  uint   // of its windows
	finAt  uint32 // the kernel's FIN, 0: not sent
	synced bool   // the kernel's SYN was seen
}

// A family is a kind of script.
type family struct {
	name   string
	ports  bool
	header func(*rand.Rand) []string
	play   func(*gen)
}

// generate makes the script of a seed. The error is of the generator or our
// stack.
func generate(f family, seed uint64, version IPVersion) (*player, error) {
	rng := rand.New(rand.NewPCG(seed, uint64(len(f.name))<<32|uint64(f.name[0])))
	p := plan{name: fmt.Sprintf("%s-%d", f.name, seed), ports: f.ports}
	p.header = []string{"`sysctl -w net.ipv4.tcp_syn_linear_timeouts=0`"} // as Linux was for ten years
	if f.header != nil {
		p.header = append(p.header, f.header(rng)...)
	}
	return playOn(NewStack, p, Options{IPVersion: version, Seed: seed}, func(pl *player) {
		g := &gen{player: pl, rng: rng, fd: 4}
		g.profile()
		f.play(g)
		g.end()
	})
}

// calm waits until the last timer is so long ago that it may be late on another kernel.
func (g *gen) calm() {
	const quiet, step = 60 * time.Millisecond, 150 * time.Millisecond
	for range 10 {
		if g.timer == 0 || g.at-g.timer > max(quiet, g.timer/8) {
			break
		}
		g.wait(step)
	}
	g.learn()
}

// end ends the script.
func (g *gen) end() {
	g.calm()
	g.do(lookEnd)
}

// profile draws what the peer negotiates.
func (g *gen) profile() {
	g.ts, g.sack, g.scaled = g.one(3), !g.one(4), !g.one(3)
	g.mss = pick(g, 1000, 1000, 1000, 536, 1460, 100)
	g.wscale = pick(g, 0, 7, 7, 7, 8, 14)
}

// one is true once in n times.
func (g *gen) one(n int) bool { return g.rng.IntN(n) == 0 }

func pick[T any](g *gen, of ...T) T { return of[g.rng.IntN(len(of))] }

// ms waits for one of the numbers of milliseconds.
func (g *gen) ms(of ...int) { g.wait(time.Duration(pick(g, of...)) * time.Millisecond) }

// do makes a moment happen and learns from what leaves.
func (g *gen) say(format string, args ...any) {
	g.do(fmt.Sprintf(format, args...))
	g.learn()
}

// pause waits and learns.
func (g *gen) pause(of ...int) {
	g.ms(of...)
	g.calm()
}

// learn follows the kernel's numbers.
func (g *gen) learn() {
	for _, c := range g.seen {
		g.note1(c.p)
	}
}

func (g *gen) note1(p *packet) {
	if p.proto != protoTCP || p.flags&flagRST != 0 {
		return
	}
	conn := g.r.findConnOut(p)
	s := describeTCP(conn, p)
	end := s.seq.end
	if p.flags&flagSYN != 0 {
		g.synced = true
		for _, o := range p.opts {
			if o.kind == optWScale {
				g.shift = uint(o.value)
			}
		}
		end = max(end, 1)
	}
	if p.flags&flagFIN != 0 {
		g.finAt = end
		end++
	}
	if int32(end-g.top) > 0 {
		g.top = end
	}
	if p.flags&flagACK != 0 {
		g.acked = s.ack
		win := uint32(p.win)
		if p.flags&flagSYN == 0 && g.scaled {
			win <<= g.shift
		}
		g.edge = s.ack + win
	}
}

// stamp is a timestamp option; old is by how many milliseconds it is behind,
// of the peer's own clock. It echoes what left last.
func (g *gen) stamp(old int) string {
	if !g.ts {
		return ""
	}
	return fmt.Sprintf("nop,nop,TS val %d ecr @", uint32(100+int(g.at/time.Millisecond)-old))
}

// options writes an option list, nothing if it is empty.
func options(parts ...string) string {
	var list []string
	for _, p := range parts {
		if p != "" {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return " <" + strings.Join(list, ",") + ">"
}

// synOptions are those of the peer's SYN.
func (g *gen) synOptions() string {
	parts := []string{fmt.Sprintf("mss %d", g.mss)}
	if g.sack {
		parts = append(parts, "sackOK")
	}
	if g.ts {
		ecr := 0
		if g.synced {
			ecr = firstStamp
		}
		parts = append(parts, fmt.Sprintf("TS val %d ecr %d", 100+int(g.at/time.Millisecond), ecr))
	}
	if g.scaled {
		parts = append(parts, "nop", fmt.Sprintf("wscale %d", g.wscale))
	}
	return options(parts...)
}

// window is what the peer writes into its header for a window of n bytes.
func (g *gen) window(n int) int {
	if g.scaled {
		n >>= min(g.wscale, 14)
	}
	return min(n, 65535)
}

// segment is a segment of the peer: flags, offset of its sequence number from the
// next, length, number acknowledged.
func (g *gen) segment(flags string, off, length int, ack uint32, win int, opts ...string) {
	start := g.nxt + uint32(off)
	text := fmt.Sprintf("< %s %d:%d(%d)", flags, start, start+uint32(length), length)
	if strings.Contains(flags, ".") {
		text += fmt.Sprintf(" ack %d", ack)
	}
	g.say("%s win %d%s", text, win, options(opts...))
}

// send is a segment in order.
func (g *gen) send(flags string, length int) {
	g.segment(flags, 0, length, g.top, g.window(65535), g.stamp(0))
	g.nxt += uint32(length)
	if strings.Contains(flags, "F") {
		g.nxt++
	}
}

// listen opens a listener.
func (g *gen) listen() {
	g.say("socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP)")
	g.say("setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4)")
}

func (g *gen) bindListen() {
	g.say("bind(3, ..., ...)")
	g.say("listen(3, %d)", 1)
}

// syn is the peer's SYN, to a listener or crossing ours.
func (g *gen) syn() {
	g.nxt = 0
	g.segment("S", 0, 0, 0, pick(g, 65535, 65535, 32792, 1000), strings.Trim(g.synOptions(), " <>"))
	g.nxt = 1
}

// established opens a connection, as passive or active opener.
func (g *gen) established() {
	if !g.plain && g.one(3) {
		g.connect()
		g.pause(10)
		g.segment("S.", 0, 0, 1, 65535, strings.Trim(g.synOptions(), " <>"))
		g.nxt = 1
		g.pause(10, 20)
	} else {
		g.listen()
		g.bindListen()
		g.syn()
		g.pause(10, 20)
		g.send(".", 0)
		g.say("accept4(3, ..., ..., SOCK_NONBLOCK)")
	}
	// How much a write takes depends on how the kernel keeps it.
	g.say("setsockopt(%d, SOL_SOCKET, SO_SNDBUF, [200000], 4)", g.fd)
}

// connect begins an active open.
func (g *gen) connect() {
	g.active, g.fd = true, 3
	g.say("socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP)")
	g.say("connect(3, ..., ...)")
}

// write writes n bytes.
func (g *gen) write(n int) {
	g.say("send(%d, ..., %d, MSG_DONTWAIT)", g.fd, n)
	g.wrote += uint32(n)
}

// read reads up to n bytes.
func (g *gen) read(n int) { g.say("recv(%d, ..., %d, MSG_DONTWAIT)", g.fd, n) }

func (g *gen) closing() { g.say("close(%d)", g.fd) }
func (g *gen) shut(how string) {
	g.say("shutdown(%d, %s)", g.fd, how)
}

// state brings the connection into a state by its usual way.
func (g *gen) state(name string) {
	fin := func() {
		if !g.plain && g.one(2) {
			g.closing()
		} else {
			g.shut("SHUT_WR")
		}
	}
	switch name {
	case "CLOSED":
		g.listen()
		g.say("bind(3, ..., ...)")
	case "LISTEN":
		g.listen()
		g.bindListen()
	case "SYN-SENT":
		g.connect()
	case "SYN-RECEIVED":
		g.listen()
		g.bindListen()
		g.syn()
	case "SYN-CROSSED":
		g.connect()
		g.pause(10)
		g.syn()
	default:
		g.established()
		if !g.plain && g.one(3) {
			g.write(pick(g, 10, 1000, 3000))
			if g.one(2) {
				g.pause(10)
				g.send(".", 0)
			}
		}
		if !g.plain && g.one(4) {
			g.send("P.", pick(g, 1, 100))
			if g.one(2) {
				g.read(1000)
			}
		}
		g.pause(0, 10)
		switch name {
		case "FIN-WAIT-1":
			fin()
		case "FIN-WAIT-2":
			fin()
			g.pause(10)
			g.send(".", 0)
		case "CLOSING":
			fin()
			g.pause(10)
			g.segment("F.", 0, 0, g.top-1, g.window(65535), g.stamp(0))
			g.nxt++
		case "CLOSE-WAIT":
			g.send("F.", 0)
		case "LAST-ACK":
			g.send("F.", 0)
			g.pause(10)
			fin()
		case "TIME-WAIT":
			fin()
			g.pause(10)
			g.send("F.", 0)
		}
	}
	g.pause(0, 10, 50, 600)
}

// look observes the connection.
func (g *gen) look() {
	g.calm()
	g.do(lookPoll)
	if g.one(2) {
		g.do(lookInfo)
	}
	if g.one(3) {
		g.do(lookError)
	}
	if g.one(2) {
		g.read(5000)
	}
}
