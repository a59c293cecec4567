//go:build linux

package packetdrill

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestRecord writes side by side what Linux and our stack do with the calls and
// inbound packets of a script, whatever the script expects to leave (its SYNs
// excepted, which tell the initial sequence numbers). It is how a script for
// something new is found: PACKETDRILL_RECORD names the files, as root.
func TestRecord(t *testing.T) {
	files := os.Getenv("PACKETDRILL_RECORD")
	if files == "" {
		t.Skip("set PACKETDRILL_RECORD to names of scripts, as root, to see what Linux does with them")
	}
	for _, name := range strings.Fields(files) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			script, err := Parse(name, string(src))
			if err != nil {
				t.Fatal(err)
			}
			ours := record(script, NewStack, Options{Seed: 1, Trailing: true})
			var linux []string
			for range 3 { // real time is not exact
				linux = recordOnLinux(script)
				if same(linux, ours) {
					break
				}
			}
			verdict := "SAME"
			if !same(linux, ours) {
				verdict = "DIFFERENT"
			}
			t.Logf("%s\n--- Linux\n%s\n--- ours\n%s", verdict, strings.Join(linux, "\n"), strings.Join(ours, "\n"))
		})
	}
}

func recordOnLinux(script *Script) []string {
	done := make(chan []string)
	go func() {
		runtime.LockOSThread()
		done <- record(script, newLinux, Options{IPVersion: script.Versions()[0], Tolerance: time.Minute, Percent: 100, Trailing: true})
	}()
	return <-done
}

// same compares two traces but for their times and timestamps.
func same(a, b []string) bool {
	strip := regexp.MustCompile(`^ *[0-9.]+ +|TS val \d+ ecr \d+|@\d+`)
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if strip.ReplaceAllString(a[i], "") != strip.ReplaceAllString(b[i], "") {
			return false
		}
	}
	return true
}

// record plays what the script does and returns the trace.
func record(s *Script, newKernel func(Setup) (Kernel, error), o Options) (trace []string) {
	play := *s
	play.events = nil
	for _, e := range s.events {
		switch act := e.act.(type) {
		case *packetSpec:
			if !act.inbound && act.tcp.flags&flagSYN == 0 {
				continue
			}
		case *callSpec:
			if act.name != "socket" && act.name != "accept" {
				c := *act
				c.any, e.act = true, &c
			}
		case *codeSpec:
			continue
		}
		play.events = append(play.events, e)
	}
	stop, err := parsePython("assert False, 'the end'")
	if err != nil {
		return []string{err.Error()}
	}
	play.events = append(play.events, event{when: timeSpec{kind: timeRelative}, act: &codeSpec{stmts: stop}})
	err = play.Run(newKernel, o)
	var f *Failure
	if !errors.As(err, &f) {
		return []string{fmt.Sprint(err)}
	}
	return append(f.Trace, f.Reason)
}
