package packetdrill

import (
	"syscall"
	"time"

	"example.com/loopback/tcp"
)

// streamExtra is streamOption for options that few scripts set.
func streamExtra(name string, v int) (set func(*tcp.TCB, time.Duration), known bool) {
	switch name {
	case "SO_RCVLOWAT":
		if v < 0 {
			v = 1<<31 - 1
		}
		return func(t *tcp.TCB, _ time.Duration) { t.SetRcvLowat(v) }, true
	case "TCP_NOTSENT_LOWAT":
		return func(t *tcp.TCB, _ time.Duration) { t.SetNotsentLowat(uint32(v)) }, true
	case "TCP_RTO_MAX_MS":
		if v < 1000 || v > 120000 {
			return nil, true
		}
		return func(t *tcp.TCB, _ time.Duration) { t.SetRTOMax(time.Duration(v) * time.Millisecond) }, true
	case "TCP_INQ", "TCP_THIN_LINEAR_TIMEOUTS", "TCP_THIN_DUPACK":
		if v < 0 || v > 1 {
			return nil, true
		}
		if name == "TCP_THIN_LINEAR_TIMEOUTS" {
			return func(t *tcp.TCB, _ time.Duration) { t.SetThinLinear(v == 1) }, true
		}
	case "TCP_SAVE_SYN":
		if v < 0 || v > 2 {
			return nil, true
		}
	case "TCP_TX_DELAY":
	default:
		return nil, false
	}
	return func(*tcp.TCB, time.Duration) {}, true
}

// streamExtraValue reads back what streamExtra sets, and what only the TCB knows.
func streamExtraValue(t *tcp.TCB, name string) (v any, ok bool) {
	switch name {
	case "SO_RCVLOWAT":
		return t.RcvLowat(), true
	case "TCP_NOTSENT_LOWAT":
		return int(t.NotsentLowat()), true
	case "TCP_RTO_MAX_MS":
		return int(t.RTOMax() / time.Millisecond), true
	case "TCP_SYNCNT":
		return t.SynRetries(), true
	case "TCP_THIN_LINEAR_TIMEOUTS":
		return boolInt(t.ThinLinear()), true
	case "IP_TTL", "IPV6_UNICAST_HOPS":
		if ttl := t.TTL(); ttl != 0 {
			return int(ttl), true
		}
		return defaultTTL, true
	case "TCP_LINGER2":
		if d := t.Linger2(); d >= 0 {
			return int(d / time.Second), true
		}
		return -1, true
	}
	return nil, false
}

// switchOption tells options of SOL_SOCKET that are kept as 0 or 1.
func switchOption(name string) bool {
	switch name {
	case "SO_DEBUG", "SO_REUSEADDR", "SO_REUSEPORT", "SO_DONTROUTE", "SO_BROADCAST", "SO_KEEPALIVE", "SO_OOBINLINE", "SO_TIMESTAMP", "SO_ZEROCOPY",
		"SO_RXQ_OVFL", "SO_NO_CHECK":
		return true
	}
	return false
}

const defaultTTL = 64

// defaultOption is what getsockopt gives for an option that nobody has set.
func (d *descriptor) defaultOption(name string) (any, error) {
	const udpBuffer = 212992
	switch name {
	case "SO_LINGER":
		return Linger{}, nil
	case "SO_RCVTIMEO", "SO_SNDTIMEO":
		return time.Duration(0), nil
	case "SO_DOMAIN":
		return int(d.domain), nil
	case "SO_PROTOCOL":
		switch d.typ {
		case Stream:
			return int(protoTCP), nil
		case Dgram:
			return int(protoUDP), nil
		}
	case "SO_SNDLOWAT", "SO_RCVLOWAT":
		return 1, nil
	case "SO_MAX_PACING_RATE", "SO_PEEK_OFF", "SO_INCOMING_CPU":
		return -1, nil
	case "SO_SNDBUF", "SO_RCVBUF":
		return udpBuffer, nil
	case "IP_TTL", "IPV6_UNICAST_HOPS", "IPV6_HOPLIMIT":
		return defaultTTL, nil
	case "IP_MTU_DISCOVER", "IPV6_MTU_DISCOVER":
		return 1, nil // IP_PMTUDISC_WANT
	case "IP_MTU", "IPV6_MTU":
		if d.typ != Stream || d.Listener() != nil {
			return nil, syscall.ENOTCONN
		}
		if mtu := d.Conn().Info().PMTU; mtu > 0 {
			return int(mtu), nil
		}
		return nil, syscall.ENOTCONN
	case "SO_PRIORITY", "SO_MARK", "SO_TIMESTAMPING", "SO_BUSY_POLL", "IP_RECVERR", "IP_RECVTTL", "IP_RECVTOS", "IP_TOS", "IP_FREEBIND",
		"IP_TRANSPARENT", "IP_BIND_ADDRESS_NO_PORT", "IPV6_V6ONLY", "IPV6_RECVERR", "IPV6_TCLASS", "IPV6_RECVTCLASS", "IPV6_RECVHOPLIMIT",
		"TCP_INQ", "TCP_THIN_LINEAR_TIMEOUTS", "TCP_THIN_DUPACK", "TCP_SAVE_SYN", "TCP_TX_DELAY", "TCP_TIMESTAMP":
		return 0, nil
	}
	if switchOption(name) {
		return 0, nil
	}
	return nil, syscall.ENOPROTOOPT
}
