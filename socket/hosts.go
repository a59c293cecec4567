package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Hosts is the computer's table of host names: what /etc/hosts is on Unix, and all the name service there is on a
// computer without a network. Names are looked up without regard to case, and with or without a final dot.
//
// The zero value is an empty table. A Stack's own table begins with DefaultHosts. All methods may be called
// concurrently.
type Hosts struct {
	mu     sync.RWMutex
	unread atomic.Bool             // nobody has needed yet that the table begins with DefaultHosts
	lines  []hostsLine             // in the order they were added
	byName map[string][]netip.Addr // key: nameKey; addresses in the order they were added
	byAddr map[netip.Addr][]string // names as they were written
}

// hostsLine is one line of the table: an address and its names, the first of which is the canonical one.
type hostsLine struct {
	addr  netip.Addr
	names []string
}

// DefaultHosts is the table that every stack starts with, in /etc/hosts syntax.
const DefaultHosts = `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
`

// HostsProblem says what is wrong with an entry of a hosts table. It is an error, so that
// errors.Is(err, socket.HostsZone) works on what Add and Parse return.
type HostsProblem string

// The ways in which an entry can be wrong.
const (
	HostsBadAddress HostsProblem = "not an IP address"
	HostsZone       HostsProblem = "address with a zone"
	HostsNoName     HostsProblem = "no host name"
	HostsBadName    HostsProblem = "not a host name"
)

// Error returns the problem in words.
func (p HostsProblem) Error() string { return string(p) }

// HostsError reports an entry that a hosts table does not take. It unwraps to its Problem.
type HostsError struct {
	Line    int    // number of the line in the text given to Parse, from 1; 0 for Add
	Text    string // the offending address or name
	Problem HostsProblem
}

// Error returns one line that names the place, the offending text and the problem.
func (e *HostsError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("hosts: %q: %s", e.Text, e.Problem)
	}
	return fmt.Sprintf("hosts: line %d: %q: %s", e.Line, e.Text, e.Problem)
}

// Unwrap returns the Problem.
func (e *HostsError) Unwrap() error { return e.Problem }

// Add gives addr one or more names; the first is its canonical name. Names that addr has already are left as they
// are, and a name may have several addresses. IPv4 addresses in IPv6 form are entered as IPv4. Names obey RFC 952
// and RFC 1123 §2.1 (letters, digits, hyphens; labels of at most 63 and names of at most 253 bytes), with the
// underscore that everybody uses; a name that reads as an address is none. The error is a *HostsError, and then
// nothing was added.
func (h *Hosts) Add(addr netip.Addr, names ...string) error {
	if problem, text := checkHostsLine(addr, names); problem != "" {
		return &HostsError{Text: text, Problem: problem}
	}
	h.add(addr, names)
	return nil
}

// Parse adds every line of text, which is in the syntax of hosts(5): an address and its names separated by blanks
// and tabs; what follows a # is a comment. Lines that cannot be taken are left out and reported, one *HostsError
// each, joined by errors.Join; all the others are added nevertheless, so that a real /etc/hosts can be loaded.
func (h *Hosts) Parse(text string) error {
	var errs []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			errs = append(errs, &HostsError{Line: number, Text: fields[0], Problem: HostsBadAddress})
			continue
		}
		if problem, text := checkHostsLine(addr, fields[1:]); problem != "" {
			errs = append(errs, &HostsError{Line: number, Text: text, Problem: problem})
			continue
		}
		h.add(addr, fields[1:])
	}
	return errors.Join(errs...)
}

// checkHostsLine returns the first problem of a line and the text that has it, or "".
func checkHostsLine(addr netip.Addr, names []string) (problem HostsProblem, text string) {
	switch {
	case !addr.IsValid():
		return HostsBadAddress, addr.String()
	case addr.Zone() != "":
		return HostsZone, addr.String()
	case len(names) == 0:
		return HostsNoName, addr.String()
	}
	for _, name := range names {
		if !validHostName(name) {
			return HostsBadName, name
		}
	}
	return "", ""
}

// beginWithDefault makes an empty table begin with DefaultHosts. A computer whose table nobody looks at does not
// pay for it.
func (h *Hosts) beginWithDefault() { h.unread.Store(true) }

// load enters what the table begins with. Every method calls it first.
func (h *Hosts) load() {
	if !h.unread.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.unread.Load() {
		return
	}
	for line := range strings.Lines(DefaultHosts) {
		fields := strings.Fields(line)
		h.enter(netip.MustParseAddr(fields[0]), fields[1:])
	}
	h.unread.Store(false)
}

// add enters a line that has been checked.
func (h *Hosts) add(addr netip.Addr, names []string) {
	h.load()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.enter(addr, names)
}

// enter is add with the lock held.
func (h *Hosts) enter(addr netip.Addr, names []string) {
	addr = addr.Unmap()
	if h.byName == nil {
		h.byName = make(map[string][]netip.Addr)
		h.byAddr = make(map[netip.Addr][]string)
	}
	fresh := make([]string, 0, len(names))
	for _, name := range names {
		key := nameKey(name)
		if slices.Contains(h.byName[key], addr) {
			continue
		}
		h.byName[key] = append(h.byName[key], addr)
		h.byAddr[addr] = append(h.byAddr[addr], name)
		fresh = append(fresh, name)
	}
	if len(fresh) > 0 {
		h.lines = append(h.lines, hostsLine{addr, fresh})
	}
}

// Remove takes a name out of the table, with all its addresses, and reports whether it was there.
func (h *Hosts) Remove(name string) bool {
	key := nameKey(name)
	same := func(other string) bool { return nameKey(other) == key }
	h.load()
	h.mu.Lock()
	defer h.mu.Unlock()
	addrs, found := h.byName[key]
	if !found {
		return false
	}
	delete(h.byName, key)
	for _, addr := range addrs {
		if h.byAddr[addr] = slices.DeleteFunc(h.byAddr[addr], same); len(h.byAddr[addr]) == 0 {
			delete(h.byAddr, addr)
		}
	}
	for i := range h.lines {
		h.lines[i].names = slices.DeleteFunc(h.lines[i].names, same)
	}
	h.lines = slices.DeleteFunc(h.lines, func(l hostsLine) bool { return len(l.names) == 0 })
	return true
}

// Lookup returns the addresses of name in the order they were added, or nil if the table does not have it.
func (h *Hosts) Lookup(name string) []netip.Addr {
	h.load()
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clone(h.byName[nameKey(name)])
}

// LookupAddr returns the names of addr as they were written, in the order they were added, or nil if it has none.
func (h *Hosts) LookupAddr(addr netip.Addr) []string {
	h.load()
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clone(h.byAddr[addr.Unmap()])
}

// String returns the table in /etc/hosts syntax, in the order it was entered: Parse of it makes an equal table.
func (h *Hosts) String() string {
	h.load()
	h.mu.RLock()
	defer h.mu.RUnlock()
	var b strings.Builder
	for _, l := range h.lines {
		b.WriteString(l.addr.String())
		b.WriteByte('\t')
		b.WriteString(strings.Join(l.names, " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// nameKey is the form of a name that equal names share: lower case, without the dot of a fully qualified name.
func nameKey(name string) string {
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// validHostName reports whether s can be the name of a host.
func validHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	numeric := true // 127.1 and its like are misspelt addresses, not names
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			switch c := label[i]; {
			case '0' <= c && c <= '9':
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_':
				numeric = false
			default:
				return false
			}
		}
	}
	return !numeric
}

// noSuchHost is the error for a name that nobody knows.
func noSuchHost(name string) *net.DNSError {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}
