package device

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
)

// A Status is what ifconfig and ip know about an interface, at one time.
type Status struct {
	Name       string
	Up         bool
	MTU        int // bytes
	Metric     int
	TxQueueLen int
	Addrs      []netip.Prefix
	Counters   Counters
}

// Status returns a snapshot of the interface. Safe for concurrent use.
func (n *NIC) Status() Status {
	return Status{
		Name:       n.name,
		Up:         n.Up(),
		MTU:        n.MTU(),
		Metric:     n.metric,
		TxQueueLen: n.txQueueLen,
		Addrs:      n.Addrs(),
		Counters:   n.Counters(),
	}
}

// IfconfigOld returns what `ifconfig lo` of net-tools 1.60 prints, trailing spaces and last empty line
// included. Like that program it shows one IPv4 address, the first; and no IPv6 address while the
// interface is down, because Linux removes them.
func IfconfigOld(n *NIC) string { return n.Status().IfconfigOld() }

// IfconfigNew returns what `ifconfig lo` of net-tools 2.10 prints, with the same addresses as
// IfconfigOld.
func IfconfigNew(n *NIC) string { return n.Status().IfconfigNew() }

// IPLink returns what `ip -s link show lo` of iproute2 6.1 prints.
func IPLink(n *NIC) string { return n.Status().IPLink() }

// The flags of the interface as Linux numbers them (netdevice(7)).
const (
	flagUp       = 1 << 0
	flagLoopback = 1 << 3
	flagRunning  = 1 << 6
)

// flags returns the interface's flags as a number and their names with sep between them.
func (s *Status) flags(sep string) (int, string) {
	if s.Up {
		return flagUp | flagLoopback | flagRunning, strings.Join([]string{"UP", "LOOPBACK", "RUNNING"}, sep)
	}
	return flagLoopback, "LOOPBACK"
}

// addrs4 returns the interface's first IPv4 address, if it has one; addrs6 its IPv6 addresses, if it is
// up.
func (s *Status) addrs4() []netip.Prefix {
	for i, p := range s.Addrs {
		if p.Addr().Is4() {
			return s.Addrs[i : i+1]
		}
	}
	return nil
}

func (s *Status) addrs6() []netip.Prefix {
	var ps []netip.Prefix
	for _, p := range s.Addrs {
		if p.Addr().Is6() && s.Up {
			ps = append(ps, p)
		}
	}
	return ps
}

// mask returns an IPv4 prefix's length as a dotted netmask.
func mask(p netip.Prefix) string {
	m := ^uint32(0) << (32 - p.Bits())
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}).String()
}

// A scope is how far an IPv6 address reaches, numbered as Linux does in /proc/net/if_inet6.
type scope int

const (
	scopeGlobal scope = 0x00
	scopeHost   scope = 0x10
	scopeLink   scope = 0x20
	scopeSite   scope = 0x40
	scopeCompat scope = 0x80
)

// scopeOf returns the scope of an IPv6 unicast address (RFC 4291 §2.4, and the site-local and
// IPv4-compatible addresses that it deprecates).
func scopeOf(a netip.Addr) scope {
	b := a.As16()
	switch {
	case a.IsLoopback():
		return scopeHost
	case a.IsLinkLocalUnicast():
		return scopeLink
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0:
		return scopeSite
	case [12]byte(b[:12]) == [12]byte{}:
		return scopeCompat
	}
	return scopeGlobal
}

// old returns the scope's name in net-tools 1.60, and fresh in 2.10.
func (c scope) old() string {
	return map[scope]string{scopeGlobal: "Global", scopeHost: "Host", scopeLink: "Link", scopeSite: "Site", scopeCompat: "Compat"}[c]
}

func (c scope) fresh() string {
	return map[scope]string{scopeGlobal: "global", scopeHost: "host", scopeLink: "link", scopeSite: "site", scopeCompat: "compat,global"}[c]
}

// text6 returns an IPv6 address as the C library prints it: with the last four bytes of an
// IPv4-compatible address in dotted form.
func text6(a netip.Addr) string {
	b := a.As16()
	if scopeOf(a) != scopeCompat || b[12] == 0 && b[13] == 0 {
		return a.String()
	}
	return "::" + netip.AddrFrom4([4]byte(b[12:])).String()
}

// human returns v as a number with one decimal, cut off, and the unit that v exceeds, or B.
func human(v, base uint64, units ...string) string {
	unit, name := uint64(1), "B"
	for _, u := range units {
		if v <= unit*base {
			break
		}
		unit, name = unit*base, u
	}
	tenths := v * 10 / unit
	if v > math.MaxInt64/10 { // ten times it may be too large; where net-tools rounds, so do we
		tenths = v / (unit / 10)
	}
	return fmt.Sprintf("%d.%d %s", tenths/10, tenths%10, name)
}

func humanOld(v uint64) string { return human(v, 1000, "KB", "MB", "GB", "TB") }
func humanNew(v uint64) string { return human(v, 1024, "KiB", "MiB", "GiB", "TiB", "PiB", "EiB") }

// IfconfigOld is the function of the same name for a snapshot.
func (s Status) IfconfigOld() string {
	var b strings.Builder
	const indent = "          "
	line := func(format string, args ...any) { fmt.Fprintf(&b, indent+format+"\n", args...) }
	fmt.Fprintf(&b, "%-9.9s Link encap:Local Loopback  \n", s.Name)
	for _, p := range s.addrs4() {
		line("inet addr:%s  Mask:%s", p.Addr(), mask(p))
	}
	for _, p := range s.addrs6() {
		line("inet6 addr: %s/%d Scope:%s", text6(p.Addr()), p.Bits(), scopeOf(p.Addr()).old())
	}
	_, flags := s.flags(" ")
	line("%s  MTU:%d  Metric:%d", flags, s.MTU, s.Metric)
	rx, tx := &s.Counters.RX, &s.Counters.TX
	line("RX packets:%d errors:%d dropped:%d overruns:%d frame:%d", rx.Packets, rx.Errors, rx.Dropped, rx.Overruns, rx.Frame)
	line("TX packets:%d errors:%d dropped:%d overruns:%d carrier:%d", tx.Packets, tx.Errors, tx.Dropped, tx.Overruns, tx.Carrier)
	line("collisions:%d txqueuelen:%d ", tx.Collisions, s.TxQueueLen)
	line("RX bytes:%d (%s)  TX bytes:%d (%s)\n", rx.Bytes, humanOld(rx.Bytes), tx.Bytes, humanOld(tx.Bytes))
	return b.String()
}

// IfconfigNew is the function of the same name for a snapshot.
func (s Status) IfconfigNew() string {
	var b strings.Builder
	const indent = "        "
	line := func(format string, args ...any) { fmt.Fprintf(&b, indent+format+"\n", args...) }
	number, flags := s.flags(",")
	fmt.Fprintf(&b, "%s: flags=%d<%s>  mtu %d\n", s.Name, number, flags, s.MTU)
	for _, p := range s.addrs4() {
		line("inet %s  netmask %s", p.Addr(), mask(p))
	}
	for _, p := range s.addrs6() {
		c := scopeOf(p.Addr())
		line("inet6 %s  prefixlen %d  scopeid 0x%x<%s>", text6(p.Addr()), p.Bits(), int(c), c.fresh())
	}
	line("loop  txqueuelen %d  (Local Loopback)", s.TxQueueLen)
	rx, tx := &s.Counters.RX, &s.Counters.TX
	line("RX packets %d  bytes %d (%s)", rx.Packets, rx.Bytes, humanNew(rx.Bytes))
	line("RX errors %d  dropped %d  overruns %d  frame %d", rx.Errors, rx.Dropped, rx.Overruns, rx.Frame)
	line("TX packets %d  bytes %d (%s)", tx.Packets, tx.Bytes, humanNew(tx.Bytes))
	line("TX errors %d  dropped %d overruns %d  carrier %d  collisions %d\n", tx.Errors, tx.Dropped, tx.Overruns, tx.Carrier, tx.Collisions)
	return b.String()
}

// IPLink is the function of the same name for a snapshot.
func (s Status) IPLink() string {
	var b strings.Builder
	flags, state, qlen := "LOOPBACK,UP,LOWER_UP", "UNKNOWN", ""
	if !s.Up {
		flags, state = "LOOPBACK", "DOWN"
	}
	if s.TxQueueLen > 0 {
		qlen = fmt.Sprintf("qlen %d", s.TxQueueLen)
	}
	fmt.Fprintf(&b, "1: %s: <%s> mtu %d qdisc noqueue state %s mode DEFAULT group default %s\n", s.Name, flags, s.MTU, state, qlen)
	b.WriteString("    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n")
	rx, tx := &s.Counters.RX, &s.Counters.TX
	table := []struct {
		name    string
		columns [6]string
		values  [6]uint64
	}{
		// A full RX ring is what Linux calls missed; /proc/net/dev, and so ifconfig, adds that to dropped.
		{"RX:", [6]string{"bytes", "packets", "errors", "dropped", "missed", "mcast"},
			[6]uint64{rx.Bytes, rx.Packets, rx.Errors, rx.Dropped - rx.Overruns, rx.Overruns, 0}},
		{"TX:", [6]string{"bytes", "packets", "errors", "dropped", "carrier", "collsns"},
			[6]uint64{tx.Bytes, tx.Packets, tx.Errors, tx.Dropped, tx.Carrier, tx.Collisions}},
	}
	widths := [6]int{10, 7, 6, 7, 7, 7}
	for _, row := range table {
		for i, v := range row.values {
			widths[i] = max(widths[i], len(fmt.Sprint(v)))
		}
	}
	for _, row := range table {
		fmt.Fprintf(&b, "    %s", row.name)
		for i, c := range row.columns {
			w := widths[i]
			if i == 0 {
				w -= len(row.name) + 1
			}
			fmt.Fprintf(&b, " %*s", w, c)
		}
		fmt.Fprintf(&b, "%11s\n   ", "") // the empty column of compressed packets
		for i, v := range row.values {
			fmt.Fprintf(&b, " %*d", widths[i], v)
		}
		b.WriteString(" \n")
	}
	return b.String()
}
