//go:build linux

package socket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/socket"
)

// A situation is something that can happen to a program that uses the network, told as calls. It is played on the
// kernel and on a Stack, and every result is written down; the two records have to be equal, byte for byte.
type situation struct {
	name     string
	only     int           // 4 or 6: the situation has one family only
	config   socket.Config // of the Stack
	isolated bool          // the kernel plays on a computer that has lo and nothing else
	play     func(s *scene)
}

// scene is one performance of a situation.
type scene struct {
	netAPI
	family int
	record []string
	ports  map[string]string // number → letter, in order of appearance; nil aside
	exits  []func()
}

// perform plays a situation and returns the record.
func perform(sit situation, api netAPI, family int) string {
	s := &scene{netAPI: api, family: family, ports: make(map[string]string)}
	defer func() {
		for _, exit := range s.exits {
			exit()
		}
	}()
	sit.play(s)
	return strings.Join(s.record, "\n")
}

// compareWithKernel plays situations over both families. A busy machine may put off the kernel's half of a
// situation (it answers a segment in a soft interrupt, normally before the call returns), so the kernel gets a few
// chances to be its usual self. The Stack has one, in virtual time: there no deadline passes while there is something to do.
func compareWithKernel(t *testing.T, situations []situation) {
	for _, sit := range situations {
		for _, family := range []int{4, 6} {
			if sit.only != 0 && sit.only != family {
				continue
			}
			t.Run(fmt.Sprintf("%s/IPv%d", sit.name, family), func(t *testing.T) {
				var got string
				synctest.Test(t, func(t *testing.T) { got = perform(sit, newStackAPI(t, sit.config), family) })
				var want string
				for range 5 {
					if want = performOnKernel(t, sit, family); want == got {
						t.Log("\n" + got) // -v shows what happens
						return
					}
				}
				t.Errorf("the stack differs: - kernel, + stack\n%s", difference(want, got))
			})
		}
	}
}

// difference shows two records as one, line by line: what only want has with a minus, what only got has with a plus.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	common := make([][]int, len(a)+1) // common[i][j]: lines that a[i:] and b[j:] share, in order
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out strings.Builder
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out.WriteString("  " + a[i] + "\n")
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out.WriteString("- " + a[i] + "\n")
			i++
		default:
			out.WriteString("+ " + b[j] + "\n")
			j++
		}
	}
	return out.String()
}

// performOnKernel plays a situation on this machine, or in a network namespace.
func performOnKernel(t *testing.T, sit situation, family int) (record string) {
	if !sit.isolated {
		return perform(sit, kernel{}, family)
	}
	isolate(t, sit.config.EphemeralPorts, func() { record = perform(sit, kernel{}, family) })
	return record
}

// tell writes a remark into the record.
func (s *scene) tell(format string, args ...any) {
	s.record = append(s.record, s.letters(fmt.Sprintf(format, args...)))
}

// result writes the outcome of a call into the record.
func (s *scene) result(call string, n int, err error) {
	s.tell("%s: n=%d %s", call, n, describe(err))
}

// outcome writes down the error of a call that has no count.
func (s *scene) outcome(call string, err error) { s.tell("%s: %s", call, describe(err)) }

var portPattern = regexp.MustCompile(`([\]\d\s>]|^):(\d{4,5})\b`)

// letters replaces port numbers by letters in order of appearance, so that different runs can be compared.
func (s *scene) letters(text string) string {
	if s.ports == nil {
		return text // done when it is written into the record of the scene
	}
	return portPattern.ReplaceAllStringFunc(text, func(m string) string {
		i := strings.LastIndexByte(m, ':')
		letter, known := s.ports[m[i+1:]]
		if !known {
			letter = string(rune('A' + len(s.ports)))
			s.ports[m[i+1:]] = letter
		}
		return m[:i+1] + letter
	})
}

// otherPorts forgets the letters: the sockets so far are closed, and one of their ports may be drawn again, or may not.
func (s *scene) otherPorts() { clear(s.ports) }

// describe says everything about an error that a program can ask for: the types of the chain, what errors.Is finds,
// the answers of net.Error, and the text.
func describe(err error) string {
	if err == nil {
		return "ok"
	}
	var chain []string
	for e := err; e != nil; e = errors.Unwrap(e) {
		chain = append(chain, describeLink(e))
		if isDialTimeout(err) {
			chain = append(chain, "a time-out")
			break
		}
	}
	var is []string
	for _, target := range targets {
		if errors.Is(err, target) && !(timeouts[target] && isDialTimeout(err)) {
			is = append(is, fmt.Sprintf("%q", target))
		}
	}
	var ne net.Error
	answers := "no net.Error"
	if errors.As(err, &ne) {
		//lint:ignore SA1019 programs still ask
		answers = fmt.Sprintf("Timeout=%t Temporary=%t", ne.Timeout(), ne.Temporary())
	}
	return fmt.Sprintf("%s\n\t%s\n\tis %s\n\t%s", err, strings.Join(chain, " > "), strings.Join(is, ", "), answers)
}

// describeLink is the type of one error of a chain, with the fields that its text does not show unmistakably.
func describeLink(err error) string {
	switch e := err.(type) {
	case *net.OpError:
		return fmt.Sprintf("*net.OpError{%s %s, %s, %s}", e.Op, e.Net, describeAddr(e.Source), describeAddr(e.Addr))
	case *os.SyscallError:
		return fmt.Sprintf("*os.SyscallError{%s}", e.Syscall)
	case syscall.Errno:
		return fmt.Sprintf("errno %d", int(e))
	case *net.DNSError:
		return fmt.Sprintf("%#v", e)
	}
	return fmt.Sprintf("%T", err)
}

func describeAddr(a net.Addr) string {
	if a == nil {
		return "nil"
	}
	return a.Network()
}

// isDialTimeout: package net has two errors for this, and which one it gives is a matter of luck. Ours is both.
func isDialTimeout(err error) bool {
	op, ok := err.(*net.OpError)
	return ok && op.Op == "dial" && op.Timeout() && !errors.Is(err, syscall.ETIMEDOUT) && !errors.Is(err, syscall.EAGAIN)
}

// timeouts are the targets of which package net's dials satisfy one or the other.
var timeouts = map[error]bool{os.ErrDeadlineExceeded: true, context.DeadlineExceeded: true}

// targets are what programs compare errors with.
var targets = []error{
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, net.ErrWriteToConnected, context.Canceled, os.ErrInvalid,
	context.DeadlineExceeded, os.ErrDeadlineExceeded,
	os.ErrPermission, os.ErrExist, os.ErrNotExist, os.ErrClosed, errors.ErrUnsupported,
	syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.ENOTCONN, syscall.EADDRINUSE, syscall.EADDRNOTAVAIL,
	syscall.EINVAL, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.EMSGSIZE, syscall.EDESTADDRREQ, syscall.EAFNOSUPPORT,
	syscall.ETIMEDOUT, syscall.ECONNABORTED, syscall.EAGAIN,
}

// atExit has f called when the situation is over.
func (s *scene) atExit(f func()) { s.exits = append(s.exits, f) }

// ip is the family's loopback address.
func (s *scene) ip() net.IP {
	if s.family == 4 {
		return net.IPv4(127, 0, 0, 1)
	}
	return net.IPv6loopback
}

// host is ip as part of an address.
func (s *scene) host() string {
	if s.family == 4 {
		return "127.0.0.1"
	}
	return "[::1]"
}

// of is the network of the scene's family only: tcp4 or tcp6.
func (s *scene) of(network string) string { return fmt.Sprint(network, s.family) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("a step that cannot fail: %v", err))
	}
	return v
}

// guarded gives a socket a deadline, so that a mistake does not hang the test, and closes it in the end.
func guarded[C interface {
	SetDeadline(time.Time) error
	Close() error
}](s *scene, c C) C {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		panic(err)
	}
	s.atExit(func() { _ = c.Close() })
	return c
}

// listener listens on loopback.
func (s *scene) listener() tcpListener {
	return guarded(s, must(s.ListenTCP("tcp", &net.TCPAddr{IP: s.ip()})))
}

// pair returns two ends of a connection.
func (s *scene) pair() (client, server tcpConn) {
	l := s.listener()
	client, server = s.connect(l)
	_ = l.Close()
	return client, server
}

// connect dials a listener and accepts.
func (s *scene) connect(l net.Listener) (client, server tcpConn) {
	client = guarded(s, must(s.Dial("tcp", l.Addr().String())).(tcpConn))
	server = guarded(s, must(l.Accept()).(tcpConn))
	return client, server
}

// closedTCP is an address at which nobody listens.
func (s *scene) closedTCP() *net.TCPAddr {
	l := s.listener()
	defer l.Close()
	return l.Addr().(*net.TCPAddr)
}

// bound is a UDP socket on loopback without a peer.
func (s *scene) bound() udpConn {
	return guarded(s, must(s.ListenUDP("udp", &net.UDPAddr{IP: s.ip()})))
}

// closedUDP is an address that no UDP socket has.
func (s *scene) closedUDP() *net.UDPAddr {
	c := s.bound()
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr)
}

// connected is a UDP socket with the peer raddr.
func (s *scene) connected(raddr net.Addr) udpConn {
	return guarded(s, must(s.DialUDP("udp", nil, raddr.(*net.UDPAddr))))
}

// read reads once into a buffer of size bytes and writes the outcome down, the data too.
func (s *scene) read(c io.Reader, size int) {
	b := make([]byte, size)
	n, err := c.Read(b)
	s.tell("read(%d): n=%d %q %s", size, n, b[:max(n, 0)], describe(err))
}

// write writes text once and writes the outcome down.
func (s *scene) write(c io.Writer, text string) {
	n, err := c.Write([]byte(text))
	s.tell("write(%q): n=%d %s", text, n, describe(err))
}

// aside plays something beside the scene. The function it returns waits for the end of it, and writes into the record
// what it has told.
func (s *scene) aside(play func(s *scene)) (join func()) {
	beside := &scene{netAPI: s.netAPI, family: s.family}
	done := make(chan struct{})
	go func() { defer close(done); play(beside) }()
	return func() {
		select {
		case <-done:
			for _, line := range beside.record {
				s.tell("%s", line)
			}
		case <-time.After(patience):
			s.tell("HANGS")
		}
	}
}
