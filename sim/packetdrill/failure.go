package packetdrill

import (
	"fmt"
	"strings"
	"time"
)

// Failure is how a run differs from its script.
type Failure struct {
	Script    string
	Line, Col int       // of the event
	IPVersion IPVersion // that the script was run as
	Event     string    // source of the event
	Reason    string    // one sentence
	Expected  string    // packet in script notation; empty if it is not about one
	Actual    string
	Trace     []string // what happened up to there, a line each
}

// Error gives everything: the place, what was expected, what came, and the
// trace.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s", f.Script, f.Line, f.Col, f.Reason)
	fmt.Fprintf(&b, "\n    script:   %s", f.Event)
	if f.Expected != "" {
		fmt.Fprintf(&b, "\n    expected: %s", f.Expected)
	}
	if f.Actual != "" {
		fmt.Fprintf(&b, "\n    actual:   %s", f.Actual)
	}
	if len(f.Trace) > 0 {
		fmt.Fprintf(&b, "\n    trace (%s):", f.IPVersion)
		for _, line := range f.Trace {
			b.WriteString("\n      " + line)
		}
	}
	return b.String()
}

// maxTrace bounds the lines kept of a run.
const maxTrace = 200

// note adds a line to the trace.
func (r *runner) note(at time.Duration, format string, args ...any) {
	if len(r.trace) == maxTrace {
		copy(r.trace, r.trace[1:])
		r.trace = r.trace[:maxTrace-1]
	}
	r.trace = append(r.trace, fmt.Sprintf("%s %s", seconds(at), fmt.Sprintf(format, args...)))
}

// seconds writes a script time, in microseconds at least, as many digits as
// it takes to tell nanoseconds.
func seconds(d time.Duration) string {
	text := fmt.Sprintf("%.9f", d.Seconds())
	return strings.TrimSuffix(text, "000")
}

// fail ends the run at the current event.
func (r *runner) fail(format string, args ...any) {
	panic(r.failure(fmt.Sprintf(format, args...)))
}

func (r *runner) failure(reason string) *Failure {
	f := &Failure{Script: r.script.name, IPVersion: r.cfg.version, Reason: reason, Trace: append([]string(nil), r.trace...)}
	if r.ev != nil {
		f.Line, f.Col, f.Event = r.ev.pos.line, r.ev.pos.col, r.ev.text
	}
	return f
}
