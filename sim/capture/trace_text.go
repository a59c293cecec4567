package capture

import (
	"bytes"
	"strings"
)

// httpMethods are the first words of HTTP requests, each between spaces.
const httpMethods = " GET PUT COPY HEAD LOCK MOVE POLL POST BCOPY BMOVE MKCOL TRACE LABEL MERGE DELETE SEARCH UNLOCK " +
	"REPORT UPDATE NOTIFY BDELETE CONNECT OPTIONS CHECKIN PROPFIND CHECKOUT CCM_POST SUBSCRIBE PROPPATCH BPROPFIND " +
	"BPROPPATCH UNCHECKOUT MKACTIVITY MKWORKSPACE UNSUBSCRIBE RPC_CONNECT VERSION-CONTROL BASELINE-CONTROL "

// application prints what tcpdump says of a TCP payload by its port: the first line of text protocols. Of what
// travels on other ports nothing is printed, as tcpdump does with most of them.
func (p *Printer) application(sport, dport uint16, b []byte, whole bool) {
	is := func(port uint16) bool { return sport == port || dport == port }
	switch {
	case is(25):
		p.firstLine(": SMTP", "smtp", b, whole, true)
	case is(43):
		p.firstLine(": WHOIS", "whois", b, whole, true)
	case is(22):
		p.ssh(b, whole)
	case is(21):
		p.firstLine(": FTP", "ftp", b, whole, true)
	case is(80) || is(8080):
		p.firstLine(": HTTP", "http", b, whole, beginsHTTP(b, whole))
	}
}

// ssh prints the identification string; the binary packets that follow it have no line.
func (p *Printer) ssh(b []byte, whole bool) {
	line, end := textLine(b)
	if !end && !whole {
		p.cut("ssh")
	}
	if !end || !bytes.HasPrefix(line, []byte("SSH-")) || bytes.IndexByte(line, '\t') >= 0 {
		return
	}
	p.str(": SSH: ")
	p.buf = append(p.buf, line...)
}

// firstLine prints the label and, when print is true, the first line, provided that it is printable. whole says
// that b is all of the payload: of a line whose end was not captured nothing is printed.
func (p *Printer) firstLine(label, cut string, b []byte, whole, print bool) {
	p.str(label)
	if !print {
		return
	}
	line, end := textLine(b)
	if line != nil && (end || whole) {
		p.str(": ")
		p.buf = append(p.buf, line...)
	}
	if !end && (line != nil || !whole) {
		p.cut(cut)
	}
}

// beginsHTTP reports whether b begins like an HTTP request, or has the three digits of a response as its second word.
// A word that the capture cut off counts for nothing.
func beginsHTTP(b []byte, whole bool) bool {
	word, rest := token(b)
	if len(word) == 0 || len(word) == len(b) && !whole {
		return false
	}
	if isWord(httpMethods, word) {
		return true
	}
	second, _ := token(rest)
	if len(second) != 3 || len(second) == len(rest) && !whole {
		return false
	}
	for _, c := range second {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isWord reports whether word, in any case, is one of the words of a list with spaces around each.
func isWord(list string, word []byte) bool {
	for len(list) > 1 {
		list = list[1:]
		next := strings.IndexByte(list, ' ')
		if next == len(word) && strings.EqualFold(list[:next], string(word)) {
			return true
		}
		list = list[next:]
	}
	return false
}

// token cuts the first word off b, and the spaces behind it.
func token(b []byte) (word, rest []byte) {
	n := 0
	for n < len(b) && b[n] > ' ' && b[n] < 0x7f {
		n++
	}
	word, rest = b[:n], b[n:]
	for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		rest = rest[1:]
	}
	return word, rest
}

// textLine returns the first line of b without its end, nil when it is not printable ASCII, and whether that
// was decided by what is there of b.
func textLine(b []byte) (line []byte, end bool) {
	for i, c := range b {
		switch {
		case c == '\n':
			return b[:i], true
		case c == '\r':
			if i+1 < len(b) && b[i+1] == '\n' {
				return b[:i], true
			}
			return nil, i+1 < len(b)
		case c == '\t' || c >= ' ' && c < 0x7f:
		default:
			return nil, true
		}
	}
	return b, false
}
