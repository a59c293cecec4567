// Package capture records the packets of a simulated computer: as a pcapng file that Wireshark, tshark and tcpdump
// open, and as text in the words of `tcpdump -n`. Both are taps of a NIC:
//
//	w := capture.NewWriter(file, capture.Options{})
//	remove := stack.NIC().AddTap(w.Tap())
//	…
//	remove()
//	err := w.Flush()
//
// Times have a nanosecond's resolution, checksums that were left to the device are filled in, and by default each
// packet appears once, when it is sent, as in a capture on Linux's lo. The output is a function of the packets and
// their times: runs that send the same packets at the same virtual times give the same bytes.
//
// # Limits
//
// A Writer writes one section with one interface and keeps every packet whole.
//
// A Printer knows IPv4 and IPv6 with extension headers and fragments, TCP with the options that stacks of today
// send, UDP, ICMP and ICMPv6; of TCP payloads it prints, as tcpdump does, the first line of HTTP (ports 80 and 8080),
// SSH identification, SMTP, FTP and WHOIS. It prints less than tcpdump of: other protocols over IP (ip-proto-N is
// printed), Multipath TCP and experimental TCP options, ICMP router advertisements, ICMPv6 neighbour and router
// discovery, and payloads that tcpdump decodes by their port (DNS, NTP, BGP and the like).
package capture
