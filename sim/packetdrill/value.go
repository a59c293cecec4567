package packetdrill

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"
)

// exprFail fails the run at an expression of the script.
func (r *runner) exprFail(e *expr, format string, args ...any) {
	f := r.failure("")
	f.Line, f.Col = e.pos.line, e.pos.col
	f.Reason = fmt.Sprintf(format, args...)
	panic(f)
}

// intValue evaluates an integer expression.
func (r *runner) intValue(e *expr) int64 {
	switch e.kind {
	case exprInt:
		return e.num
	case exprName:
		if n, ok := constantByName(e.text); ok {
			return n
		}
		r.exprFail(e, "unknown constant %s", e.text)
	case exprUnary:
		n := r.intValue(&e.list[0])
		switch e.text {
		case "-":
			return -n
		case "~":
			return ^n
		}
		if n == 0 {
			return 1
		}
		return 0
	case exprBinary:
		return r.binaryValue(e, r.intValue(&e.list[0]), r.intValue(&e.list[1]))
	case exprCall:
		if len(e.list) == 1 && (e.text == "htons" || e.text == "ntohs" || e.text == "htonl" || e.text == "ntohl") {
			return r.intValue(&e.list[0]) // ports are numbers here, not memory
		}
	case exprList:
		if len(e.list) == 1 {
			return r.intValue(&e.list[0])
		}
	}
	r.exprFail(e, "expected a number")
	panic("unreachable")
}

func (r *runner) binaryValue(e *expr, a, b int64) int64 {
	switch e.text {
	case "|":
		return a | b
	case "&":
		return a & b
	case "+":
		return a + b
	case "-":
		return a - b
	case "*":
		return a * b
	case "/":
		if b != 0 {
			return a / b
		}
		r.exprFail(e, "division by zero")
	}
	if b < 0 || b > 63 {
		r.exprFail(e, "shift by %d", b)
	}
	if e.text == "<<" {
		return a << b
	}
	return a >> b
}

// member finds a field of a struct by one of its names.
func (e *expr) member(names ...string) *expr {
	for i := range e.fields {
		for _, name := range names {
			if e.fields[i].name == name {
				return &e.fields[i].value
			}
		}
	}
	return nil
}

// memberInt is a numeric field, or the given value where the struct has none.
func (r *runner) memberInt(e *expr, missing int64, names ...string) int64 {
	if m := e.member(names...); m != nil && m.kind != exprEllipsis {
		return r.intValue(m)
	}
	return missing
}

// address evaluates the address of a call: "..." is the given one, a struct
// sockaddr is what it says. AF_UNSPEC gives the zero AddrPort.
func (r *runner) address(f *file, e *expr, ellipsis netip.AddrPort) netip.AddrPort {
	if e.kind == exprEllipsis {
		return ellipsis
	}
	if e.kind != exprStruct {
		r.exprFail(e, "expected an address: {sa_family=AF_INET, sin_port=htons(PORT), sin_addr=inet_addr(\"A.B.C.D\")}")
	}
	family := r.memberInt(e, int64(Inet), "sa_family", "sin_family", "sin6_family", "family")
	if family == 0 {
		return netip.AddrPort{}
	}
	port := uint16(r.memberInt(e, 0, "sin_port", "sin6_port"))
	addr := r.cfg.local.Addr()
	if m := e.member("sin_addr", "sin6_addr"); m != nil && m.kind != exprEllipsis {
		addr = r.ipAddress(m)
	}
	return netip.AddrPortFrom(r.translate(f, addr), port)
}

// ipAddress evaluates inet_addr("…"), inet_pton(…, "…"), htonl(…) and the constants.
func (r *runner) ipAddress(e *expr) netip.Addr {
	if e.kind == exprCall && len(e.list) > 0 {
		e = &e.list[len(e.list)-1]
	}
	text := e.text
	switch {
	case e.kind == exprInt && e.num == 0, e.kind == exprName && text == "INADDR_ANY":
		return netip.IPv4Unspecified()
	case e.kind == exprName && text == "INADDR_LOOPBACK":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case e.kind == exprName && text == "in6addr_any":
		return netip.IPv6Unspecified()
	case e.kind != exprString:
		r.exprFail(e, "expected an IP address: inet_addr(\"A.B.C.D\")")
	}
	if text == "INADDR_ANY" {
		return netip.IPv4Unspecified()
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		r.exprFail(e, "%q is no IP address", text)
	}
	return addr
}

// translate turns an IPv4 address that a script names into what this run
// uses for it, so that scripts written for IPv4 run over IPv6 as well.
func (r *runner) translate(f *file, a netip.Addr) netip.Addr {
	if f.domain == Inet || !a.Is4() {
		return a
	}
	if r.cfg.version != IPv6 {
		if a.IsUnspecified() {
			return netip.IPv6Unspecified()
		}
		return netip.AddrFrom16(a.As16())
	}
	switch {
	case a == netip.AddrFrom4([4]byte{192, 168, 0, 1}):
		return r.cfg.local.Addr()
	case a.IsUnspecified():
		return netip.IPv6Unspecified()
	case a.IsLoopback():
		return netip.IPv6Loopback()
	}
	return r.cfg.remote.Addr()
}

// optValue evaluates the value given to setsockopt.
func (r *runner) optValue(e *expr) any {
	switch e.kind {
	case exprString:
		return e.text
	case exprStruct:
		return r.structValue(e)
	}
	return int(int32(r.intValue(e)))
}

func (r *runner) structValue(e *expr) any {
	positional := func(i int) *expr {
		if i < len(e.fields) && e.fields[i].name == "" {
			return &e.fields[i].value
		}
		return nil
	}
	if e.member("tv_sec", "tv_usec") != nil {
		return time.Duration(r.memberInt(e, 0, "tv_sec"))*time.Second + time.Duration(r.memberInt(e, 0, "tv_usec"))*time.Microsecond
	}
	if on := e.member("onoff", "l_onoff"); on != nil {
		return Linger{r.intValue(on) != 0, int(r.memberInt(e, 0, "linger", "l_linger"))}
	}
	if a, b := positional(0), positional(1); a != nil && b != nil {
		return Linger{r.intValue(a) != 0, int(r.intValue(b))}
	}
	return e // of an option that only FreeBSD has
}

// equalOption compares what getsockopt gave with the script's expression.
func (r *runner) equalOption(got any, e *expr) bool {
	switch v := got.(type) {
	case string:
		return e.kind == exprString && e.text == v
	case Linger:
		if e.kind != exprStruct {
			return false
		}
		want, ok := r.structValue(e).(Linger)
		return ok && want == v
	case time.Duration:
		if e.kind != exprStruct {
			return false
		}
		want, ok := r.structValue(e).(time.Duration)
		return ok && want == v
	}
	n, ok := optionInt(got)
	return ok && e.kind != exprStruct && e.kind != exprString && n == r.intValue(e)
}

// optionInt is a numeric option as the number that Linux would store.
func optionInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case uint32:
		return int64(v), true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case syscall.Errno:
		if v == 0 {
			return 0, true
		}
		return errnoNumber(v), true
	}
	return 0, false
}
