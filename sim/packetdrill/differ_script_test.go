package packetdrill

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// atOnce is within what a packet counts as caused by the event before it, in
// real time.
const atOnce = 3 * time.Millisecond

// slack is by how much the timers of Linux may miss, which run on a wheel
// whose steps are an eighth of what is waited for, above jiffies of 4 ms: how
// long was waited is at most the time since the beginning.
func slack(since, elapsed time.Duration) time.Duration {
	const least, enough = 12 * time.Millisecond, 40 * time.Millisecond
	return max(least, min(since/8, 4*enough), min(elapsed/8, enough))
}

// script writes what a kernel did with a plan as a script that expects it.
// tie is true if a timer ran out so close to an event that another kernel,
// whose timers are exact or inexact in another way, may do it the other way
// round.
func (p *player) script(comment string) (text string, tie bool) {
	var b strings.Builder
	for _, c := range strings.Split(comment, "\n") {
		fmt.Fprintf(&b, "// %s\n", c)
	}
	fmt.Fprintf(&b, "--ip_version=%s\n", p.r.cfg.version)
	for _, h := range p.plan.header {
		b.WriteString(h + "\n")
	}
	var prev, out time.Duration // of the event before, and of the packet before
	for i, l := range p.lines {
		at, when := l.at, short(l.at)
		switch since := l.at - prev; {
		case l.out && since <= atOnce:
			at, when = prev, "+0"
		case l.out:
			s := slack(at-out, at)
			at = at.Round(time.Millisecond)
			when = fmt.Sprintf("+%s~+%s", short(max(at-s-prev, 0)), short(at+s-prev))
			tie = tie || p.tied(i, s)
		}
		fmt.Fprintf(&b, "%-6s %s\n", when, l.text)
		prev = max(at, prev)
		if l.out {
			out = at
		}
	}
	return b.String(), tie
}

// tied tells whether an event comes within s of the packet of line i.
func (p *player) tied(i int, s time.Duration) bool {
	for _, next := range p.lines[i+1:] {
		if !next.out {
			return next.at-p.lines[i].at < s && !strings.HasPrefix(next.text, "%{ True")
		}
	}
	return false
}

// short writes a time in seconds, in microseconds.
func short(d time.Duration) string {
	s := fmt.Sprintf("%.6f", d.Seconds())
	s = strings.TrimRight(s, "0")
	return strings.TrimSuffix(s, ".")
}

// trace is what a kernel did, without times: two plays that have the same did
// the same.
func (p *player) trace() string {
	stamps := regexp.MustCompile(`TS val \d+ ecr \d+`)
	var b strings.Builder
	for _, l := range p.lines {
		b.WriteString(stamps.ReplaceAllString(l.text, "TS") + "\n")
	}
	return b.String()
}
