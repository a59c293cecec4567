package socket

import (
	"net"
	"strings"
)

// servicePorts returns the ports that IANA's registry of service names gives to name (lower case), over TCP and
// over UDP; 0 where the service is not spoken over that transport.
func servicePorts(name string) (tcp, udp uint16) {
	switch name {
	case "echo":
		return 7, 7
	case "discard", "sink":
		return 9, 9
	case "daytime":
		return 13, 13
	case "chargen":
		return 19, 19
	case "time":
		return 37, 37
	case "ftp-data":
		return 20, 0
	case "ftp":
		return 21, 0
	case "ssh":
		return 22, 0
	case "telnet":
		return 23, 0
	case "smtp", "mail":
		return 25, 0
	case "whois":
		return 43, 0
	case "domain":
		return 53, 53
	case "bootps":
		return 0, 67
	case "bootpc":
		return 0, 68
	case "tftp":
		return 0, 69
	case "gopher":
		return 70, 0
	case "finger":
		return 79, 0
	case "http", "www":
		return 80, 0
	case "kerberos":
		return 88, 88
	case "pop3":
		return 110, 0
	case "sunrpc", "portmapper":
		return 111, 111
	case "nntp":
		return 119, 0
	case "ntp":
		return 0, 123
	case "imap", "imap2":
		return 143, 0
	case "snmp":
		return 161, 161
	case "snmp-trap", "snmptrap":
		return 162, 162
	case "bgp":
		return 179, 0
	case "irc":
		return 194, 194
	case "ldap":
		return 389, 389
	default:
		return laterServicePorts(name)
	}
}

// laterServicePorts continues servicePorts from https to the last port below 1024.
func laterServicePorts(name string) (tcp, udp uint16) {
	switch name {
	case "https":
		return 443, 443
	case "submissions", "smtps", "urd":
		return 465, 0
	case "syslog":
		return 0, 514
	case "shell":
		return 514, 0
	case "printer":
		return 515, 0
	case "rtsp":
		return 554, 554
	case "submission":
		return 587, 0
	case "ipp":
		return 631, 0
	case "ldaps":
		return 636, 636
	case "rsync":
		return 873, 0
	case "ftps-data":
		return 989, 0
	case "ftps":
		return 990, 0
	case "imaps":
		return 993, 0
	case "pop3s":
		return 995, 0
	}
	return registeredPorts(name)
}

// registeredPorts is servicePorts for the ports from 1024 on.
func registeredPorts(name string) (tcp, udp uint16) {
	switch name {
	case "socks":
		return 1080, 0
	case "openvpn":
		return 1194, 1194
	case "ms-sql-s":
		return 1433, 0
	case "radius":
		return 1812, 1812
	case "radius-acct":
		return 1813, 1813
	case "nfs":
		return 2049, 2049
	case "mysql":
		return 3306, 0
	case "ms-wbt-server":
		return 3389, 0
	case "svn":
		return 3690, 0
	case "sip":
		return 5060, 5060
	case "sip-tls":
		return 5061, 5061
	case "xmpp-client":
		return 5222, 0
	case "xmpp-server":
		return 5269, 0
	case "mdns":
		return 0, 5353
	case "postgresql":
		return 5432, 0
	case "amqp":
		return 5672, 0
	case "amqps":
		return 5671, 0
	case "x11":
		return 6000, 0
	case "redis":
		return 6379, 0
	case "git":
		return 9418, 0
	case "http-alt", "webcache":
		return 8080, 0
	}
	return 0, 0
}

// lookupPort finds the port of a service, or reads a decimal number, as net.Resolver.LookupPort does: the same
// spellings of numbers, the same types and texts of errors.
func lookupPort(network, service string) (int, error) {
	port, isNumber := parsePort(service)
	if !isNumber {
		var err error
		if port, err = namedPort(network, service); err != nil {
			return 0, err
		}
	}
	if port < 0 || port > 0xffff {
		return 0, &net.AddrError{Err: "invalid port", Addr: service}
	}
	return port, nil
}

// namedPort looks a service name up for one of the networks that LookupPort takes.
func namedPort(network, service string) (int, error) {
	tcp, udp := servicePorts(strings.ToLower(service))
	var port uint16
	asked := network
	switch network {
	case "tcp", "tcp4", "tcp6":
		port, asked = tcp, "tcp"
	case "udp", "udp4", "udp6":
		port, asked = udp, "udp"
	case "ip", "": // no hint: whichever transport has it, TCP first
		asked = "ip"
		if port = tcp; port == 0 {
			port = udp
		}
	default:
		return 0, &net.AddrError{Err: "unknown network", Addr: network}
	}
	if port == 0 {
		return 0, &net.DNSError{Err: "unknown port", Name: asked + "/" + service, IsNotFound: true}
	}
	return int(port), nil
}

// parsePort reads a port the way package net does: decimal digits after an optional sign, and an empty string is
// port 0. Digits beyond anything a port can be are not read any further: it is a number, merely out of range, so
// that the error says "invalid port" and not "unknown port".
//
// We differ: package net computes in 32 bits without noticing all overflows, and takes 4294967376 for port 80.
func parsePort(s string) (port int, isNumber bool) {
	digits := s
	negative := false
	if s != "" && (s[0] == '+' || s[0] == '-') {
		negative = s[0] == '-'
		digits = s[1:]
	}
	const beyond = 1 << 30
	var n int64
	for i := 0; i < len(digits); i++ {
		c := digits[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		if n >= beyond {
			break
		}
		n = n*10 + int64(c-'0')
	}
	n = min(n, beyond)
	if negative {
		n = -n
	}
	return int(n), true
}

// protocolNumber finds the number of an IP protocol by its IANA name, in any case.
func protocolNumber(name string) (int, bool) {
	switch strings.ToLower(name) {
	case "ip":
		return 0, true
	case "icmp":
		return 1, true
	case "igmp":
		return 2, true
	case "tcp":
		return 6, true
	case "udp":
		return 17, true
	case "ipv6":
		return 41, true
	case "gre":
		return 47, true
	case "ipv6-icmp":
		return 58, true
	case "sctp":
		return 132, true
	}
	return 0, false
}
