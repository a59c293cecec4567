package capture_test

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"example.com/loopback/device"
	"example.com/loopback/sim"
	"example.com/loopback/sim/capture"
	"example.com/loopback/socket"
)

// perform has all acts played for both families and returns what was sent.
func perform(t *testing.T, software bool) []frame {
	t.Helper()
	l := newLab(t, software)
	for _, l.family = range []int{4, 6} {
		for _, a := range acts() {
			if a.only != 0 && a.only != l.family {
				continue
			}
			l.scene = sceneName(a, l.family)
			l.configure(a.config)
			a.play(l)
			l.end()
		}
	}
	return l.frames
}

func sceneName(a act, family int) string { return fmt.Sprintf("%s, IPv%d", a.name, family) }

// TestTsharkUnderstandsEveryPacket has a stack send every kind of packet there is and tshark read the capture: nothing
// is malformed, no checksum is wrong, tshark calls the packets what they are meant to be, and is surprised by none.
func TestTsharkUnderstandsEveryPacket(t *testing.T) {
	path := tshark(t)
	frames := perform(t, false)
	t.Log(protocolsOf(frames))
	for _, link := range []capture.LinkType{capture.Ethernet, capture.RawIP} {
		rows := runTshark(t, path, write(t, frames, link))
		require.Equal(t, len(frames), len(rows), "every packet is in the file")
		for i, r := range rows {
			r.check(t, frames[i])
		}
		require.Equal(t, protocolsOf(frames), protocolsOfRows(rows))
		for _, family := range []int{4, 6} {
			for _, a := range acts() {
				if a.only == 0 || a.only == family {
					checkAct(t, a, sceneName(a, family), rows)
				}
			}
		}
	}
}

// TestTsharkUnderstandsTheImpairedLink: what a link makes of packets, and what it sends itself, is well-formed, too:
// fragments of routers, their ICMP errors, segments cut to pieces, injected resets.
func TestTsharkUnderstandsTheImpairedLink(t *testing.T) {
	path := tshark(t)
	var frames []frame
	synctest.Test(t, func(t *testing.T) { frames = impaired(t) })
	rows := runTshark(t, path, write(t, frames, capture.RawIP))
	require.Equal(t, len(frames), len(rows))
	found := map[string]bool{}
	for i, r := range rows {
		r.check(t, frames[i])
		for _, fact := range r.facts() {
			found[fact] = true
		}
	}
	for _, w := range []string{"fragmentation needed", "packet too big", "fragment", "tcp [R.]", "tcp [P.]", "udp"} {
		require.True(t, found[w], "%s: %v", w, slices.Sorted(maps.Keys(found)))
	}
	for _, f := range frames {
		require.LessOrEqual(t, len(f.raw), 1400, "%x", f.raw)
	}
}

// impaired sends data through a link that is narrow, cuts segments and injects resets, and returns what arrived.
func impaired(t *testing.T) (frames []frame) {
	link, err := sim.NewImpaired(sim.ImpairConfig{Seed: 1, Rules: []sim.Rule{
		{Name: "narrow", Impairment: sim.Impairment{MTU: 1400, Delay: time.Millisecond, InOrder: true}},
		{Name: "cut", Proto: 6, ToPorts: [2]uint16{48001}, Impairment: sim.Impairment{Cut: sim.Cut{Size: 500}}},
		{Name: "reset", Proto: 6, ToPorts: [2]uint16{48002}, Impairment: sim.Impairment{Reset: sim.Reset{Segments: []uint64{3}}}},
	}})
	require.NoError(t, err)
	s := socket.New(socket.Config{Seed: 1, Link: link})
	remove := s.NIC().AddTap(func(dir device.Direction, now time.Duration, n *device.NIC, p *device.Packet) {
		if dir == device.DirRX {
			frames = append(frames, frame{at: now, raw: n.AppendWire(nil, p)})
		}
	})
	defer remove()
	for _, at := range []string{"127.0.0.2", "::1"} {
		for _, port := range []string{"48001", "48002"} {
			l, err := s.Listen("tcp", net.JoinHostPort(at, port))
			require.NoError(t, err)
			c, err := s.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			_, err = c.Write(make([]byte, 20_000))
			require.NoError(t, err)
			time.Sleep(time.Minute)
			require.NoError(t, c.Close())
			require.NoError(t, l.Close())
		}
		k, err := s.Dial("udp", net.JoinHostPort(at, "48003"))
		require.NoError(t, err)
		for _, n := range []int{100, 2000, 40_000} {
			_, _ = k.Write(make([]byte, n)) // the error is that of the one before
			time.Sleep(time.Minute)
		}
		require.NoError(t, k.Close())
	}
	time.Sleep(5 * time.Minute) // TIME-WAIT, reassembly
	return frames
}

// tshark returns the path of tshark. Without one the test is skipped, but fails where it has to be there.
func tshark(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("LOOPBACK_CI") == "1" {
			t.Fatal("tshark is not installed")
		}
		t.Skip("tshark is not installed")
	}
	return path
}

// write writes a capture and returns its name.
func write(t *testing.T, frames []frame, link capture.LinkType) string {
	t.Helper()
	var file bytes.Buffer
	w := capture.NewWriter(&file, capture.Options{Link: link})
	for _, f := range frames {
		require.NoError(t, w.WritePacket(device.DirTX, f.at, f.raw, f.scene))
	}
	require.NoError(t, w.Flush())
	name := filepath.Join(t.TempDir(), "all.pcapng")
	require.NoError(t, os.WriteFile(name, file.Bytes(), 0o600))
	return name
}

// fields are what tshark is asked for. Of fields within an ICMP error's quotation, which come after the packet's own,
// only the first counts.
var fields = []string{
	"frame.comment", "frame.protocols", "_ws.malformed", "_ws.expert.message",
	"ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status",
	"tcp.flags", "tcp.option_kind", "tcp.options.sack.count", "ip.dsfield.ecn", "ipv6.tclass.ecn",
	"icmp.type", "icmp.code", "icmpv6.type", "icmpv6.code", "ip.flags.mf", "ip.frag_offset", "ipv6.fraghdr.nxt", "frame.cap_len",
}

// row is what tshark says of a packet, by field; several values of one are separated by a "|".
type row map[string]string

func runTshark(t *testing.T, path, name string) (rows []row) {
	t.Helper()
	args := []string{"-n", "-r", name, "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a", "-E", "aggregator=|"}
	for _, option := range []string{"ip.check_checksum", "tcp.check_checksum", "udp.check_checksum", "ip.defragment", "ipv6.defragment", "tcp.analyze_sequence_numbers"} {
		args = append(args, "-o", option+":TRUE")
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	var complaints bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &complaints)
	for line := range strings.Lines(string(out)) {
		r := row{}
		for i, v := range strings.Split(strings.TrimSuffix(line, "\n"), "\t") {
			r[fields[i]] = v
		}
		rows = append(rows, r)
	}
	return rows
}

// first returns the first value of a field.
func (r row) first(field string) string {
	v, _, _ := strings.Cut(r[field], "|")
	return v
}

// transport is the protocol of the packet itself.
func (r row) transport() string {
	for p := range strings.SplitSeq(r["frame.protocols"], ":") {
		switch p {
		case "tcp", "udp", "icmp", "icmpv6":
			return p
		}
	}
	return "data" // a fragment but the last
}

// check looks at what holds for each packet.
func (r row) check(t *testing.T, f frame) {
	t.Helper()
	about := func() string { return fmt.Sprintf("%s: %v\n%x", f.scene, r, f.raw) }
	require.Equal(t, f.scene, r["frame.comment"])
	if r["_ws.malformed"] != "" {
		require.Fail(t, "malformed", about())
	}
	if f.raw[0]>>4 == 4 && r.first("ip.checksum.status") != "1" {
		require.Fail(t, "IPv4 checksum", about())
	}
	if p := r.transport(); p != "data" && r.first(p+".checksum.status") != "1" {
		require.Fail(t, p+" checksum", about())
	}
}

// protocolsOf counts packets by protocol, as the IP headers have them; fragments but the last of each datagram, which
// is where tshark shows it, count as data.
func protocolsOf(frames []frame) map[string]int {
	count := map[string]int{}
	for _, f := range frames {
		proto, more := f.raw[9], f.raw[6]&0x20 != 0
		if f.raw[0]>>4 == 6 {
			if proto, more = f.raw[6], false; proto == 44 {
				proto, more = f.raw[40], f.raw[43]&1 != 0
			}
		}
		name := map[byte]string{1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6"}[proto]
		if more {
			name = "data"
		}
		count[name]++
	}
	return count
}

func protocolsOfRows(rows []row) map[string]int {
	count := map[string]int{}
	for _, r := range rows {
		count[r.transport()]++
	}
	return count
}

// usual are expert messages about what every connection does.
var usual = []string{
	"Connection establish request (SYN)", "Connection establish acknowledge (SYN+ACK)", "Connection finish (FIN)",
	"This frame initiates the connection closing", "This frame undergoes the connection closing", "Connection reset (RST)",
}

// checkAct looks for the facts of an act, and for messages that are a surprise.
func checkAct(t *testing.T, a act, scene string, rows []row) {
	t.Helper()
	found := map[string]bool{}
	for _, r := range rows {
		if r["frame.comment"] != scene {
			continue
		}
		for _, fact := range r.facts() {
			found[fact] = true
		}
		for m := range strings.SplitSeq(r["_ws.expert.message"], "|") {
			known := slices.ContainsFunc(slices.Concat(usual, a.want, a.may), func(k string) bool { return strings.HasPrefix(m, k) })
			if m != "" && m != scene && !known { // the comment is a message, too
				t.Errorf("%s: tshark says %q of %q", scene, m, r.facts())
			}
		}
	}
	for _, w := range a.want {
		if !found[w] {
			t.Errorf("%s: tshark sees no %q, but\n\t%s", scene, w, strings.Join(slices.Sorted(maps.Keys(found)), "\n\t"))
		}
	}
}

// facts are what tshark says of a packet, in words.
func (r row) facts() (list []string) {
	for m := range strings.SplitSeq(r["_ws.expert.message"], "|") {
		list = append(list, m)
	}
	if r.transport() == "tcp" {
		n, _ := strconv.ParseUint(strings.TrimPrefix(r.first("tcp.flags"), "0x"), 16, 16)
		list = append(list, "tcp "+flagsText(n), "options "+optionsText(r["tcp.option_kind"]))
		if n&0x80 != 0 {
			list = append(list, "CWR")
		}
		if n := r.first("tcp.options.sack.count"); n != "" {
			list = append(list, "SACK", "SACK of "+n+" blocks")
		}
	}
	if r.transport() == "udp" {
		list = append(list, "udp")
	}
	if r.first("ip.dsfield.ecn") == "2" || r.first("ipv6.tclass.ecn") == "2" {
		list = append(list, "ECT(0)")
	}
	if r.first("ip.flags.mf") == "1" || r.first("ipv6.fraghdr.nxt") != "" {
		list = append(list, "fragment")
	}
	switch kind := r.transport(); kind {
	case "icmp", "icmpv6":
		list = append(list, icmpText[kind+" "+r.first(kind+".type")+"/"+r.first(kind+".code")])
	}
	return list
}

// icmpText names the ICMP messages that we send.
var icmpText = map[string]string{
	"icmp 8/0": "echo request", "icmp 0/0": "echo reply", "icmp 3/2": "unknown protocol", "icmp 3/3": "port unreachable",
	"icmp 3/4": "fragmentation needed", "icmpv6 2/0": "packet too big", "icmp 11/1": "reassembly time exceeded", "icmp 12/0": "parameter problem 0",
	"icmpv6 128/0": "echo request", "icmpv6 129/0": "echo reply", "icmpv6 1/4": "port unreachable",
	"icmpv6 3/1": "reassembly time exceeded", "icmpv6 4/0": "parameter problem 0", "icmpv6 4/1": "parameter problem 1",
	"icmpv6 4/2": "parameter problem 2", "icmpv6 4/3": "parameter problem 3",
}

// flagsText writes TCP flags as tcpdump does.
func flagsText(n uint64) string {
	var s strings.Builder
	for i, c := range []byte("FSRP.UEW") {
		if n>>i&1 != 0 {
			s.WriteByte(c)
		}
	}
	return "[" + s.String() + "]"
}

// optionsText names TCP options.
func optionsText(kinds string) string {
	names := map[string]string{"1": "No-Operation (NOP)", "2": "MSS", "3": "Window scale", "4": "SACK permitted", "5": "SACK", "8": "Timestamps"}
	var list []string
	for k := range strings.SplitSeq(kinds, "|") {
		if k != "" {
			list = append(list, names[k])
		}
	}
	return strings.Join(list, ",")
}

// TestWhoComputesChecksumsMakesNoDifference: a stack that does without offload sends the same bytes at the same times.
func TestWhoComputesChecksumsMakesNoDifference(t *testing.T) {
	offload, software := perform(t, false), perform(t, true)
	require.Equal(t, len(offload), len(software))
	for i := range offload {
		require.Equal(t, offload[i], software[i])
	}
}

// TestGopacketUnderstandsEveryPacket decodes every kind of packet and, where gopacket can write all its layers, makes
// the same bytes of them again.
func TestGopacketUnderstandsEveryPacket(t *testing.T) {
	again := 0
	frames := perform(t, false)
	for _, f := range frames {
		p := decode(f.raw)
		require.Nil(t, p.ErrorLayer(), "%s: %v\n%x", f.scene, p, f.raw)
		var ls []gopacket.SerializableLayer
		for _, l := range p.Layers() {
			s, ok := l.(gopacket.SerializableLayer)
			if !ok {
				break
			}
			ls = append(ls, s)
			if m, ok := l.(*layers.ICMPv6); ok { // what follows gopacket decodes but does not keep as a whole
				ls = append(ls, gopacket.Payload(m.LayerPayload()))
				break
			}
		}
		if len(ls) < len(p.Layers()) && p.Layer(layers.LayerTypeICMPv6) == nil {
			require.NotNil(t, p.Layer(layers.LayerTypeIPv6Fragment), "gopacket cannot write IPv6 fragments, but %v", p)
			continue
		}
		want := bytes.Clone(f.raw)
		if u, ok := p.TransportLayer().(*layers.UDP); ok && u.Checksum == 0xffff {
			clear(want[len(want)-len(u.Payload)-2:][:2]) // gopacket's mistake: it makes that zero, which means none
		}
		require.Equal(t, want, serialize(ls...), "%s: %v", f.scene, p)
		again++
	}
	require.Greater(t, again, len(frames)*9/10)
}
