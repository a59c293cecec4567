package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // the network said no: no reply, connection refused, an HTTP error
	exitUsage   = 2 // the command line, a name or a file is wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// cli is the command line.
type cli struct {
	Demo     demoCmd     `cmd:"" default:"withargs" help:"Show the whole computer: HTTP, ssh, ping, names, ifconfig and sockets (the default)."`
	Ping     pingCmd     `cmd:"" help:"Ping an address of the simulated computer."`
	Get      getCmd      `cmd:"" help:"Fetch a URL by way of the simulated computer."`
	Forward  forwardCmd  `cmd:"" help:"Let programs on this machine reach the simulated computer."`
	Ifconfig ifconfigCmd `cmd:"" help:"Show lo."`
	Script   scriptCmd   `cmd:"" help:"Play packet scripts on the stack."`

	computerFlags
}

const description = `A simulated loopback computer: lo and everything on it runs in this process. No root, no ports of this machine.

Examples:
  lo                                         the tour
  lo -w lo.pcapng                            the same, recorded for Wireshark
  lo ping -c 3 127.0.0.1
  lo ping --delay 20ms --loss 0.2 localhost  over a bad network
  lo get http://localhost:631/ --trace       with every packet, as tcpdump -n prints it
  lo get http://127.0.0.1:631/ --loss 0.2 --ladder get.svg
                                             drawn as a message sequence chart
  lo forward 127.0.0.1:8080=localhost:631    then: curl http://127.0.0.1:8080/
  lo ifconfig --format ip
  lo script sim/packetdrill/testdata/handshake/*.pkt

Exit status: 0 success, 1 the network said no, 2 wrong usage, an unknown name or a file that cannot be written.`

// exitError is an error that says with what code to exit. An empty message prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// errSilent is for failures that were reported in the words of the program that is imitated.
var errSilent = errors.New("")

// quit carries kong's wish to exit out of the parser.
type quit struct{ code int }

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if q, ok := recover().(quit); ok {
			code = q.code
		}
	}()
	var c cli
	parser, err := kong.New(&c, kong.Name("lo"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(quit{code}) }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		panic(err) // our own definitions are broken
	}
	k, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "lo: %v\nTry 'lo --help'.\n", err)
		return exitUsage
	}
	out := &output{w: stdout}
	err = k.Run(&c.computerFlags, out, &diagnostics{stderr})
	if err == nil {
		err = out.err
	}
	return report(err, stderr)
}

// report prints an error and returns the exit code that goes with it.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	if err.Error() != "" {
		fmt.Fprintf(stderr, "lo: %v\n", err)
	}
	if e := (*exitError)(nil); errors.As(err, &e) {
		return e.code
	}
	return exitFailure
}

// output is where results go. Its first error is kept, so that commands need not look after each line.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(b)
	o.err = err
	return n, err
}

func (o *output) printf(format string, args ...any) { fmt.Fprintf(o, format, args...) }

// diagnostics is where messages go.
type diagnostics struct{ io.Writer }
