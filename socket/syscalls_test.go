package socket_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"example.com/loopback/socket"
	"example.com/loopback/tcp"
	"github.com/stretchr/testify/require"
)

// scriptSocket is one socket of the system calls, the kernel's or a Stack's.
type scriptSocket interface {
	bind(a netip.AddrPort) error
	listen(backlog int) error
	accept() (scriptSocket, netip.AddrPort, error)
	connect(a netip.AddrPort) error // the zero address dissolves
	send(p []byte, flags int, to netip.AddrPort) (int, error)
	recv(p []byte, flags int) (int, netip.AddrPort, error)
	shutdown(read, write bool) error
	close() error
	local() netip.AddrPort
	remote() (netip.AddrPort, error)
	soError() error
	set(option string, value int) error
	get(option string) (int, error)
	poll() (in, out, failed, hungUp bool)
}

// scriptFile holds the scripts: scenarios under a "#" line, each a list of "socket command arguments: result". The
// results are the kernel's, written there by -rewrite; on Linux the kernel is asked again each time.
const scriptFile = "testdata/syscalls.txt"

var rewrite = flag.Bool("rewrite", false, "write the kernel's results into "+scriptFile)

// readScripts returns the scenarios, each with its title as the first line.
func readScripts(t *testing.T) [][]string {
	t.Helper()
	text, err := os.ReadFile(scriptFile)
	require.NoError(t, err)
	var all [][]string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "#"):
			all = append(all, []string{line})
		case line != "":
			all[len(all)-1] = append(all[len(all)-1], line)
		}
	}
	return all
}

// run plays a scenario and returns it with the results that came.
func runScript(script []string, open func(network string) (scriptSocket, error)) []string {
	r := &scriptRun{open: open, socks: map[string]scriptSocket{}, ports: map[string]string{}}
	defer func() {
		for _, k := range r.socks {
			_ = k.close()
		}
	}()
	played := []string{script[0]}
	for _, line := range script[1:] {
		command, _, _ := strings.Cut(line, ": ")
		command = strings.TrimSuffix(command, ":")
		played = append(played, command+": "+r.step(strings.Fields(command)))
	}
	return played
}

type scriptRun struct {
	open  func(network string) (scriptSocket, error)
	socks map[string]scriptSocket
	ports map[string]string // port → letter
}

// show writes an address with a letter instead of its port.
func (r *scriptRun) show(a netip.AddrPort) string {
	if !a.IsValid() {
		return "nobody"
	}
	port := strconv.Itoa(int(a.Port()))
	if a.Port() < 1024 {
		return a.String()
	}
	if r.ports[port] == "" {
		r.ports[port] = string(rune('A' + len(r.ports)))
	}
	return strings.TrimSuffix(a.String(), port) + r.ports[port]
}

// address reads "127.0.0.1:0", "=l" (the address of l) or "[::1]=l" (that host, the port of l).
func (r *scriptRun) address(text string) netip.AddrPort {
	host, name, of := strings.Cut(text, "=")
	switch {
	case text == "-":
		return netip.AddrPort{}
	case of && host == "":
		return r.socks[name].local()
	case of:
		return netip.AddrPortFrom(netip.MustParseAddr(strings.Trim(host, "[]")), r.socks[name].local().Port())
	}
	return netip.MustParseAddrPort(text)
}

// data is "text" or "text*1000".
func data(text string) []byte {
	word, times, ok := strings.Cut(text, "*")
	if !ok {
		return []byte(text)
	}
	n, _ := strconv.Atoi(times)
	return []byte(strings.Repeat(word, n))
}

var flagNames = map[string]int{"peek": socket.MsgPeek, "trunc": socket.MsgTrunc, "more": socket.MsgMore}

// step executes one command.
func (r *scriptRun) step(words []string) string {
	name, verb, args := words[0], words[1], append(words[2:], "", "")
	k := r.socks[name]
	flags, to := 0, netip.AddrPort{}
	for _, a := range args[1:] {
		flags |= flagNames[a]
		if strings.ContainsAny(a, ":=") {
			to = r.address(a)
		}
	}
	number, _ := strconv.Atoi(args[0])
	if k == nil && verb != "socket" {
		return "no such socket" // an accept that should have made it has failed
	}
	switch verb {
	case "socket":
		k, err := r.open(args[0])
		if err == nil {
			r.socks[name] = k
		}
		return errnoName(err)
	case "bind":
		return errnoName(k.bind(r.address(args[0])))
	case "listen":
		return errnoName(k.listen(number))
	case "accept":
		n, from, err := k.accept()
		if err == nil {
			r.socks[args[0]] = n
		}
		return errnoName(err, r.show(from))
	case "connect":
		return errnoName(k.connect(r.address(args[0])))
	case "send":
		n, err := k.send(data(args[0]), flags, to)
		return errnoName(err, strconv.Itoa(n))
	case "fill": // until there is no room
		for p := make([]byte, 1<<16); ; {
			if _, err := k.send(p, 0, to); err != nil {
				return errnoName(err)
			}
		}
	case "recv":
		p := make([]byte, number)
		n, from, err := k.recv(p, flags)
		return errnoName(err, strconv.Itoa(n), strings.TrimRight(string(p[:min(max(n, 0), len(p))]), "\x00"), r.show(from))
	case "shutdown":
		return errnoName(k.shutdown(strings.Contains(args[0], "r"), strings.Contains(args[0], "w")))
	case "close":
		return errnoName(k.close())
	case "local":
		return r.show(k.local())
	case "remote":
		a, err := k.remote()
		return errnoName(err, r.show(a))
	case "error":
		return errnoName(k.soError())
	case "set":
		value, _ := strconv.Atoi(args[1])
		return errnoName(k.set(args[0], value))
	case "get":
		n, err := k.get(args[0])
		return errnoName(err, strconv.Itoa(n))
	case "poll":
		in, out, failed, hungUp := k.poll()
		return pollNames(in, out, failed, hungUp)
	}
	panic("no such command: " + verb)
}

func pollNames(states ...bool) string {
	text := ""
	for i, s := range states {
		if s {
			text += []string{"in ", "out ", "err ", "hup "}[i]
		}
	}
	if text == "" {
		return "nothing"
	}
	return strings.TrimSpace(text)
}

var errnoNames = map[error]string{
	syscall.EAGAIN: "EAGAIN", syscall.EINPROGRESS: "EINPROGRESS", syscall.EALREADY: "EALREADY", syscall.EISCONN: "EISCONN",
	syscall.EBADF: "EBADF", syscall.EINVAL: "EINVAL", syscall.EADDRINUSE: "EADDRINUSE", syscall.EADDRNOTAVAIL: "EADDRNOTAVAIL",
	syscall.EAFNOSUPPORT: "EAFNOSUPPORT", syscall.EDESTADDRREQ: "EDESTADDRREQ", syscall.ENOTCONN: "ENOTCONN", syscall.EPIPE: "EPIPE",
	syscall.ECONNREFUSED: "ECONNREFUSED", syscall.ECONNRESET: "ECONNRESET", syscall.ECONNABORTED: "ECONNABORTED",
	syscall.EOPNOTSUPP: "EOPNOTSUPP", syscall.EMSGSIZE: "EMSGSIZE", syscall.ENETUNREACH: "ENETUNREACH", syscall.ENOPROTOOPT: "ENOPROTOOPT",
}

// errnoName is the name of an errno, or what came of a call without one.
func errnoName(err error, values ...string) string {
	switch {
	case err == nil && len(values) == 0:
		return "ok"
	case err == nil:
		return strings.TrimSpace(strings.TrimSuffix(strings.Join(values, " "), " nobody"))
	case errnoNames[err] == "":
		return fmt.Sprintf("%T %v", err, err)
	}
	return errnoNames[err]
}

// scriptOnStack is a Stack's scriptSocket.
type scriptOnStack struct{ *socket.Socket }

func openOnStack(s *socket.Stack) func(string) (scriptSocket, error) {
	return func(network string) (scriptSocket, error) {
		k, err := s.Socket(network)
		if err != nil {
			return nil, err
		}
		return scriptOnStack{k}, nil
	}
}

func (k scriptOnStack) bind(a netip.AddrPort) error                          { return k.Bind(a) }
func (k scriptOnStack) listen(backlog int) error                             { return k.Listen(backlog) }
func (k scriptOnStack) connect(a netip.AddrPort) error                       { return k.Connect(a) }
func (k scriptOnStack) send(p []byte, f int, to netip.AddrPort) (int, error) { return k.Send(p, f, to) }
func (k scriptOnStack) recv(p []byte, f int) (int, netip.AddrPort, error)    { return k.Recv(p, f) }
func (k scriptOnStack) shutdown(read, write bool) error                      { return k.Shutdown(read, write) }
func (k scriptOnStack) close() error                                         { return k.Close() }
func (k scriptOnStack) local() netip.AddrPort                                { return k.LocalAddr() }
func (k scriptOnStack) remote() (netip.AddrPort, error)                      { return k.RemoteAddr() }
func (k scriptOnStack) soError() error                                       { return k.TakeError() }
func (k scriptOnStack) poll() (in, out, failed, hungUp bool)                 { return k.Ready() }

func (k scriptOnStack) accept() (scriptSocket, netip.AddrPort, error) {
	n, from, err := k.Accept()
	if err != nil {
		return nil, from, err
	}
	return scriptOnStack{n}, from, nil
}

func (k scriptOnStack) set(option string, value int) error {
	switch option {
	case "reuse":
		k.SetReuse(value != 0)
		return nil
	case "only6":
		k.SetOnly6(value != 0)
		return nil
	case "linger":
		return k.Conn().SetLinger(value)
	}
	return k.SetOption(func(t *tcp.TCB, now time.Duration) {
		switch option {
		case "nodelay":
			t.SetNoDelay(value != 0)
		case "cork":
			t.SetCork(value != 0)
		case "usertimeout":
			t.SetUserTimeout(time.Duration(value) * time.Millisecond)
		}
	})
}

func (k scriptOnStack) get(option string) (n int, err error) {
	bit := map[bool]int{true: 1}
	err = k.SetOption(func(t *tcp.TCB, _ time.Duration) {
		switch option {
		case "nodelay":
			n = bit[t.NoDelay()]
		case "cork":
			n = bit[t.Cork()]
		case "usertimeout":
			n = int(t.UserTimeout() / time.Millisecond)
		}
	})
	return n, err
}

// TestSyscallScripts plays the scripts on a Stack: call by call the errnos and results are those of Linux.
func TestSyscallScripts(t *testing.T) {
	for _, script := range readScripts(t) {
		t.Run(strings.TrimPrefix(script[0], "# "), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // no timer can be at work when the balance is struck
				s := socket.New(socket.Config{})
				defer s.Close()
				got := runScript(script, openOnStack(s))
				require.Equal(t, strings.Join(script, "\n"), strings.Join(got, "\n"), "- Linux, + stack")
				require.True(t, s.Conservation().Holds())
				require.Zero(t, s.OpenSockets(), "all are closed: %+v", s.Sockets())
			})
		})
	}
}

// TestResetLosesNoMemory: what came before a reset and is not read any more is given back: where connect tells of the
// reset, and where a connection that was never accepted goes with its listener.
func TestResetLosesNoMemory(t *testing.T) {
	const begin = `l socket tcp4
		l bind 127.0.0.1:0
		l listen 1
		c socket tcp4
		c connect =l
		`
	for _, x := range []struct {
		name, script string
		end          func(s *socket.Stack)
	}{
		{"connect again", begin + `l accept s
			c send unread
			s send lost
			s close
			c connect =l
			c connect =l
			l accept s
			s close
			c close
			l close`, nil},
		{"listener closed", begin + `c send lost
			c set linger 0
			c close
			l close`, nil},
		{"forgotten", begin + `c send lost
			c set linger 0
			c close`, func(s *socket.Stack) { s.Forget(func(netip.Addr) bool { return true }) }},
		{"stack closed", begin + `c send lost
			c set linger 0
			c close`, func(s *socket.Stack) { s.Close() }},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := socket.New(socket.Config{})
			defer s.Close()
			s.NIC().Pool().Audit = true
			run := &scriptRun{open: openOnStack(s), socks: map[string]scriptSocket{}, ports: map[string]string{}}
			for line := range strings.Lines(x.script) {
				t.Log(strings.TrimSpace(line), run.step(strings.Fields(line)))
			}
			if x.end != nil {
				require.NotZero(t, s.NIC().Pool().Stats().BufsOut)
				x.end(s)
			}
			require.Zero(t, s.NIC().Pool().Stats().BufsOut)
		})
	}
}
