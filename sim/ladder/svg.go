package ladder

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Measures of the drawing, in pixels.
const (
	svgWidth  = 1280
	svgLeft   = 330 // the lines of the ends
	svgRight  = svgWidth - 250
	svgTop    = 84
	svgRow    = 26 // between two things that happen
	svgBottom = 28
)

const svgStyle = `text{font:12px ui-monospace,Menlo,DejaVu Sans Mono,monospace;fill:#1b2733}
.t{font:600 16px system-ui,DejaVu Sans,sans-serif}.e{font:600 14px system-ui,DejaVu Sans,sans-serif}.c{fill:#7a8794}
.n{fill:#6a4c00}.s{fill:#0b5a34;font-weight:600}.y{fill:#9a1c1c}.l{stroke:#9aa7b3;stroke-width:2}
.a{stroke:#2563a8;stroke-width:1.5}.r{stroke:#b45309;stroke-width:1.5}.x{stroke:#c02626;stroke-width:1.5;stroke-dasharray:5 3}
.g{stroke:#e8edf2}.b{paint-order:stroke;stroke:#fff;stroke-width:4px}`

// WriteSVG draws the chart. What happens is spaced evenly, not in proportion to time, which is written at the left: a
// quarter of an hour of silence takes no more room than a microsecond.
func (c *Chart) WriteSVG(w io.Writer) error {
	rows := c.rows()
	y := func(i int) int { return svgTop + (i+1)*svgRow }
	height := y(len(rows)) + svgBottom
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">`+"\n<style>%s</style>\n", svgWidth, height, svgWidth, height, svgStyle)
	b.WriteString(`<defs><marker id="h" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto"><path d="M0 0L9 4L0 8z" fill="#2563a8"/></marker>` +
		`<marker id="k" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto"><path d="M0 0L9 4L0 8z" fill="#b45309"/></marker></defs>` + "\n")
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", svgWidth, height)
	svgText(&b, 16, 28, "start", "t", c.Title)
	svgText(&b, svgLeft, svgTop-18, "middle", "e", c.Left)
	svgText(&b, svgRight, svgTop-18, "middle", "e", c.Right)
	for i, r := range rows {
		fmt.Fprintf(&b, `<path class="g" d="M16 %dH%d"/>`, y(i), svgWidth-16)
		if i == 0 || rows[i-1].at != r.at {
			svgText(&b, 110, y(i)+4, "end", "c", seconds(r.at))
		}
		b.WriteByte('\n')
	}
	for _, x := range []int{svgLeft, svgRight} {
		fmt.Fprintf(&b, `<path class="l" d="M%d %dV%d"/>`+"\n", x, svgTop-8, height-svgBottom+8)
	}
	where := map[*Message][]int{}
	for i, r := range rows {
		if r.m != nil {
			where[r.m] = append(where[r.m], i)
		}
	}
	for i, r := range rows {
		switch {
		case r.note != nil:
			svgNote(&b, r.note, y(i))
		case r.arrival == 0:
			svgArrows(&b, r.m, where[r.m], y)
		}
	}
	for i, r := range rows { // over all lines
		if r.m != nil && r.arrival == 0 {
			svgLabel(&b, r.m, y(i))
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func svgText(b *strings.Builder, x, y int, anchor, class, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, html.EscapeString(s))
}

func svgNote(b *strings.Builder, n *Note, y int) {
	class := "n"
	if n.Text == strings.ToUpper(n.Text) {
		class = "s"
	}
	if n.Left {
		svgText(b, svgLeft-10, y+4, "end", class, n.Text)
	} else {
		svgText(b, svgRight+10, y+4, "start", class, n.Text)
	}
}

// svgArrows draws the arrows of a message, one for each arrival.
func svgArrows(b *strings.Builder, m *Message, at []int, y func(int) int) {
	from, to := svgLeft, svgRight
	if !m.FromLeft {
		from, to = to, from
	}
	class, head := "a", "h"
	if m.Why != "" {
		class, head = "r", "k"
	}
	start := y(at[0])
	switch {
	case m.Lost:
		x := (from + 2*to) / 3
		fmt.Fprintf(b, `<path class="x" d="M%d %dL%d %d"/><path class="x" style="stroke-dasharray:none;stroke-width:2.5" d="M%d %dl10 10m0 -10l-10 10"/>`+"\n", from, start, x, start+10, x-5, start+5)
	case len(at) == 1:
		fmt.Fprintf(b, `<path class="%s" stroke-dasharray="2 4" d="M%d %dL%d %d"/>`+"\n", class, from, start, (from+2*to)/3, start+10)
	}
	for _, i := range at[1:] {
		fmt.Fprintf(b, `<path class="%s" marker-end="url(#%s)" d="M%d %dL%d %d"/>`+"\n", class, head, from, start, to, y(i))
	}
}

// svgLabel writes what is in a message, above where it was sent.
func svgLabel(b *strings.Builder, m *Message, y int) {
	label := m.Label
	if m.Why != "" {
		label += " · " + m.Why
	}
	if m.Fate != "" {
		label += " · " + m.Fate
	}
	class := "b"
	if m.Lost {
		class = "b y"
	}
	x, anchor := svgLeft+14, "start"
	if !m.FromLeft {
		x, anchor = svgRight-14, "end"
	}
	svgText(b, x, y-4, anchor, class, label)
}
