// Package ladder draws message sequence charts of TCP connections, as text and as SVG: both ends, time going down, every
// segment with its numbers as an arrow from when it was sent to when it arrived, what was lost and why, and what the ends
// thought of it (states, windows, retransmissions and their causes).
//
//	chart := ladder.Chart{Left: "client", Right: "server", Messages: …, Notes: …}
//	err := chart.WriteText(os.Stdout)
//
// A chart is only drawn here: sim.Recording makes those of what was recorded on a network. The output depends on the chart
// alone.
package ladder

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Chart is a conversation of two ends. It is not changed by drawing.
type Chart struct {
	Title       string
	Left, Right string // the names of the ends
	Messages    []Message
	Notes       []Note
}

// A Message is a segment on its way.
type Message struct {
	Sent     time.Duration
	Arrivals []time.Duration // when it, and copies of it, arrived; none: it is lost or still under way
	FromLeft bool
	Label    string // what is in it: flags, numbers, length
	Why      string // why it was sent, if that needs saying: a retransmission's cause
	Fate     string // what the network did to it: "lost: loss", "duplicate"; "" nothing
	Lost     bool
}

// A Note is what happened at an end: a state, a window, an expired timer.
type Note struct {
	At   time.Duration
	Left bool
	Text string
}

// row is one line of the chart: of a message, its sending or its arrival.
type row struct {
	at      time.Duration
	m       *Message
	arrival int // index plus one; 0 is the sending
	note    *Note
}

// rows are the chart in the order of time; at one instant arrivals come first, then notes, then what is sent.
func (c *Chart) rows() []row {
	var rows []row
	for i := range c.Messages {
		m := &c.Messages[i]
		rows = append(rows, row{at: m.Sent, m: m})
		for k, at := range m.Arrivals {
			rows = append(rows, row{at: at, m: m, arrival: k + 1})
		}
	}
	for i := range c.Notes {
		rows = append(rows, row{at: c.Notes[i].At, note: &c.Notes[i]})
	}
	rank := func(r row) int {
		switch {
		case r.note != nil:
			return 1
		case r.arrival > 0:
			return 0
		}
		return 2
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(rank(a), rank(b))) })
	return rows
}

// Widths of the text's columns, in characters.
const (
	endWidth  = 26
	wireWidth = 96
)

// WriteText writes the chart as text. A segment that arrives right after it was sent is one arrow; one that something
// else comes between is an arrow that leaves and another, with the time on the way, that arrives.
func (c *Chart) WriteText(w io.Writer) error {
	var b strings.Builder
	if c.Title != "" {
		b.WriteString(c.Title + "\n\n")
	}
	fmt.Fprintf(&b, "%14s  %*s  %-*s  %s\n", "s", endWidth, c.Left, wireWidth, "", c.Right)
	rows := c.rows()
	for i := 0; i < len(rows); i++ {
		r := rows[i]
		if r.note != nil {
			c.textLine(&b, r.at, r.note.Left, r.note.Text, "")
			continue
		}
		text := r.m.Label
		if r.m.Why != "" && r.arrival == 0 {
			text += " (" + r.m.Why + ")"
		}
		switch {
		case r.arrival > 0:
			text, _, _ = strings.Cut(text, ", win ")
			text += " after " + took(r.m, r.arrival-1)
			c.textLine(&b, r.at, false, "", arrow(text, r.m.FromLeft, "- ", " >"))
		case r.m.Lost:
			c.textLine(&b, r.at, false, "", arrow(text+"  "+r.m.Fate, r.m.FromLeft, "--", " X"))
		default:
			if r.m.Fate != "" {
				text += "  " + r.m.Fate
			}
			head := " ~"
			if i+1 < len(rows) && rows[i+1].m == r.m && len(r.m.Arrivals) == 1 {
				head = "->"
				text += ", " + took(r.m, 0)
				i++
			}
			c.textLine(&b, r.at, false, "", arrow(text, r.m.FromLeft, "--", head))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *Chart) textLine(b *strings.Builder, at time.Duration, left bool, note, wire string) {
	l, r := note, ""
	if !left {
		l, r = "", note
	}
	line := fmt.Sprintf("%14s  %*s |%-*s| %s", seconds(at), endWidth-1, l, wireWidth, wire, r)
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}

// arrow draws text on a line with a head: > or < for one that arrives, ~ for one under way, X for one that is lost.
func arrow(text string, right bool, line, head string) string {
	room := wireWidth - len([]rune(text)) - 4
	fill := strings.Repeat(line, max(room, 2)/2+1)[:max(room, 2)]
	if right {
		return line[:1] + " " + text + " " + fill[:len(fill)-1] + head
	}
	switch head {
	case "->":
		head = "<-"
	case " >":
		head = "< "
	default:
		head = head[1:] + " "
	}
	return head + fill[:len(fill)-1] + " " + text + " " + line[:1]
}

// took is how long a message was on its way, to a microsecond.
func took(m *Message, arrival int) string {
	return (m.Arrivals[arrival] - m.Sent).Round(time.Microsecond).String()
}

// seconds prints a time with as many digits as it has, three at least.
func seconds(t time.Duration) string {
	digits := 3
	for unit := time.Millisecond; digits < 9 && t%unit != 0; digits += 3 {
		unit /= 1000
	}
	return strconv.FormatFloat(t.Seconds(), 'f', digits, 64)
}
