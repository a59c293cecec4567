package packetdrill

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// IPVersion says how a script's sockets and packets meet, by packetdrill's
// names.
type IPVersion string

// The three ways to run a script.
const (
	IPv4       IPVersion = "ipv4"
	IPv4Mapped IPVersion = "ipv4-mapped-ipv6" // AF_INET6 sockets, IPv4 packets
	IPv6       IPVersion = "ipv6"
)

// Options say how to run a script. The zero value is packetdrill's way:
// packets must match one by one, times within a tolerance.
type Options struct {
	// IPVersion to run as; the zero value is the first that the script allows.
	IPVersion IPVersion
	// Exact asks for exact times: no tolerance.
	Exact bool
	// Tolerance is by how much times may be off at least, and Percent by which
	// part of the time since the event before, for kernels that run in real time.
	// What is less than 4 ms, 12.5 and what the script says counts for nothing.
	Tolerance time.Duration
	Percent   float64
	// Lenient joins and splits adjacent segments: what counts is which bytes
	// are sent when, not how they are cut. PSH flags do not count either.
	Lenient bool
	// Trailing allows packets that leave after the last one that the script
	// expects; packetdrill itself never looks.
	Trailing bool
	// Defines are definitions as of -D NAME=VALUE.
	Defines map[string]string
	// Seed is given to the kernel, and chooses remote ports.
	Seed uint64
}

// config is what the options of a script come to.
type config struct {
	version     IPVersion
	local       netip.Prefix // of the live packets
	remote      netip.Prefix
	bindPort    uint16
	connectPort uint16
	mtu         int
	tolerance   time.Duration
	percent     float64
	tsTick      time.Duration
	lenient     bool
	strict      bool // --strict_segments: not even what is longer than a segment is joined
	trailing    bool
}

const (
	defaultTolerance = 4 * time.Millisecond
	defaultPercent   = 12.5
	defaultPort      = 8080
	defaultMTU       = 1500
	// An IPv6 header is 20 bytes longer: with this MTU the same script has
	// segments of the same size over IPv4 and IPv6.
	defaultMTU6 = defaultMTU + 20
)

// Versions are the IP versions that a script may be run as: those of its
// --ip_version options, else what its packets allow.
func (s *Script) Versions() []IPVersion {
	for _, o := range s.opts {
		if o.name == "ip_version" {
			return []IPVersion{IPVersion(strings.ReplaceAll(o.value, "_", "-"))}
		}
	}
	v4, v6 := false, false
	for _, e := range s.events {
		if p, ok := e.act.(*packetSpec); ok {
			v4 = v4 || p.proto == protoICMP
			v6 = v6 || p.proto == protoICMPv6
		}
	}
	switch {
	case v4:
		return []IPVersion{IPv4, IPv4Mapped}
	case v6:
		return []IPVersion{IPv6}
	}
	return []IPVersion{IPv4, IPv4Mapped, IPv6}
}

// config works out the configuration; the error is *SyntaxError.
func (s *Script) config(o Options) (*config, error) {
	c := &config{version: o.IPVersion, bindPort: defaultPort, connectPort: defaultPort,
		tolerance: defaultTolerance, percent: defaultPercent, lenient: o.Lenient, trailing: o.Trailing}
	if c.version == "" {
		c.version = s.Versions()[0]
	}
	c.local, c.remote = netip.MustParsePrefix("192.168.0.1/16"), netip.MustParsePrefix("192.0.2.1/24")
	c.mtu = defaultMTU
	switch c.version {
	case IPv4, IPv4Mapped:
	case IPv6:
		c.local, c.remote = netip.MustParsePrefix("fd3d:a0b:17d6::1/64"), netip.MustParsePrefix("2001:db8::1/32")
		c.mtu = defaultMTU6
	default:
		return nil, &SyntaxError{s.name, 1, 1, fmt.Sprintf("unknown IP version %q", c.version)}
	}
	for _, opt := range s.opts {
		if err := c.set(opt); err != nil {
			return nil, &SyntaxError{s.name, opt.pos.line, opt.pos.col, "--" + opt.name + ": " + err.Error()}
		}
	}
	c.tolerance, c.percent = max(c.tolerance, o.Tolerance), max(c.percent, o.Percent)
	if o.Exact {
		c.tolerance, c.percent = 0, 0
	}
	return c, nil
}

// set applies one --name=value.
func (c *config) set(o option) error {
	number := func(limit uint64) uint64 {
		n, err := strconv.ParseUint(o.value, 0, 64)
		if err != nil || n > limit {
			panic(fmt.Errorf("%q is no number up to %d", o.value, limit))
		}
		return n
	}
	return catch(func() {
		switch o.name {
		case "mtu":
			c.mtu = int(number(65535))
		case "bind_port":
			c.bindPort = uint16(number(65535))
		case "connect_port":
			c.connectPort = uint16(number(65535))
		case "tolerance_usecs":
			c.tolerance = time.Duration(number(1e12)) * time.Microsecond
		case "tolerance_percent":
			c.percent = float64(number(100))
		case "tcp_ts_tick_usecs":
			c.tsTick = time.Duration(number(1e9)) * time.Microsecond
		case "strict_segments":
			off := o.value == "0" || o.value == "false"
			c.lenient = c.lenient || off
			c.strict = !off
		case "local_ip", "local_ipv4", "local_ipv6":
			c.address(&c.local, o)
		case "remote_ip", "remote_ipv4", "remote_ipv6":
			c.address(&c.remote, o)
		case "ip_version", "define", "gateway_ip", "netmask_ip", "prefix_length", "speed", "mss",
			"non_fatal", "so_filename", "so_flags", "init_scripts", "persistent_tun_dev", "tun_dev", "dry_run", "verbose", "v", "debug",
			"send_omit_free", "is_anyip", "wire_client", "wire_server", "wire_client_dev", "wire_server_dev",
			"wire_server_at", "wire_server_ip", "wire_server_port", "code_command", "code_format", "code_sockopt",
			"stress_test", "timeout_secs", "udp_encaps", "tun_ifname", "tun_dev_name", "fd_passing", "no_cleanup":
			// The address of a gateway or the speed of an interface is nothing
			// that packets on an open wire show.
		default:
			panic(fmt.Errorf("unknown option"))
		}
	})
}

// catch turns a panic with an error into that error.
func catch(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(error)
			if !ok {
				panic(r)
			}
			err = e
		}
	}()
	f()
	return nil
}

// address sets an address, with or without a prefix length. Addresses of the
// other family are for runs as the other IP version.
func (c *config) address(where *netip.Prefix, o option) {
	prefix, err := netip.ParsePrefix(o.value)
	if err != nil {
		addr, err := netip.ParseAddr(o.value)
		if err != nil {
			panic(fmt.Errorf("%q is no IP address", o.value))
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
		if addr.BitLen() == where.Addr().BitLen() {
			prefix = netip.PrefixFrom(addr, where.Bits())
		}
	}
	if prefix.Addr().Is4() == where.Addr().Is4() {
		*where = prefix
	}
}

// domain is what "..." means as the first argument of socket.
func (c *config) domain() Domain {
	if c.version == IPv4 {
		return Inet
	}
	return Inet6
}

// socketAddr is an address as a socket of the script's kind has it: mapped
// when packets are IPv4 and sockets IPv6.
func (c *config) socketAddr(a netip.Addr) netip.Addr {
	if c.version == IPv4Mapped && a.Is4() {
		return netip.AddrFrom16(a.As16())
	}
	return a
}

// toleranceAt is how far a time may be off when the script says that delta
// passed since the event before.
func (c *config) toleranceAt(delta time.Duration) time.Duration {
	return max(c.tolerance, time.Duration(float64(delta)*c.percent/100))
}
