package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// Measures of the picture, in pixels.
const (
	panelWidth = 520
	panelGap   = 24
	nameWidth  = 104
	valueWidth = 112
	barHeight  = 12
	rowGap     = 8
	headHeight = 46
	margin     = 24
	titleSpace = 64
)

// SVG draws one panel for each table: a bar for each peer and number of cores, on a logarithmic
// axis, because the peers are orders of magnitude apart.
func (r *Report) SVG(w io.Writer) error {
	p := &printer{w: w}
	tables := r.Tables()
	columns := layout(tables)
	height := 0
	for _, c := range columns {
		height = max(height, c.height)
	}
	width := 2*margin + 2*panelWidth + panelGap
	height += titleSpace + margin
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" `+
		`font-family="Helvetica, Arial, sans-serif" font-size="12">`+"\n", width, height, width, height)
	p.printf(`<rect width="100%%" height="100%%" fill="#ffffff"/>` + "\n")
	text(p, margin, 28, "18", "bold", "start", "#111111", "A loopback in process, and what else there is")
	text(p, margin, 48, "11", "normal", "start", "#555555", r.Machine.String())
	for i, c := range columns {
		x, y := margin+i*(panelWidth+panelGap), titleSpace
		for _, t := range c.tables {
			t.draw(p, x, y)
			y += t.height() + panelGap
		}
	}
	p.printf("</svg>\n")
	return p.err
}

// column is a stack of panels.
type column struct {
	tables []Table
	height int
}

// layout puts each panel, in order, below the shorter column.
func layout(tables []Table) [2]column {
	var columns [2]column
	for _, t := range tables {
		c := &columns[0]
		if columns[1].height < c.height {
			c = &columns[1]
		}
		c.tables = append(c.tables, t)
		c.height += t.height() + panelGap
	}
	return columns
}

func (t Table) height() int {
	return headHeight + len(t.Rows)*(len(t.Procs)*barHeight+rowGap) + rowGap
}

func (t Table) draw(p *printer, x, y int) {
	text(p, x, y+14, "14", "bold", "start", "#111111", t.heading())
	text(p, x, y+30, "11", "normal", "start", "#555555",
		fmt.Sprintf("%s, %s, logarithmic; %s; (×): loopback is better by", Name(t.Unit), t.direction(), t.legend()))
	scale := t.scale()
	top := y + headHeight
	bottom := y + t.height() - rowGap
	for d := scale.low; d <= scale.high; d++ {
		at := x + nameWidth + int(scale.at(math.Pow(10, d)))
		p.printf(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#e4e4e4"/>`+"\n", at, top-6, at, bottom)
	}
	for _, row := range t.Rows {
		weight, fill := "normal", "#333333"
		if row.Peer == Ours {
			weight, fill = "bold", "#0b5cad"
		}
		middle := top + len(row.Cells)*barHeight/2 + 4
		text(p, x+nameWidth-8, middle, "12", weight, "end", fill, row.Peer)
		for i, c := range row.Cells {
			t.bar(p, scale, c, i, row.Peer, x+nameWidth, top+i*barHeight)
		}
		top += len(row.Cells)*barHeight + rowGap
	}
}

func (t Table) bar(p *printer, scale axis, c Cell, i int, peer string, x, y int) {
	if !c.Known {
		return
	}
	end := scale.at(c.Value.Median)
	p.printf(`<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n",
		x, y, math.Max(end, 1), barHeight-2, colour(peer, i))
	label := Value(t.Unit, c.Value.Median)
	if peer != Ours && c.Ratio != 0 {
		label += "  (" + ratio(c.Ratio) + ")"
	}
	text(p, x+int(end)+5, y+barHeight-3, "10", "normal", "start", "#333333", label)
}

// colour has two shades for each: the lighter for the first number of cores.
func colour(peer string, i int) string {
	if peer == Ours {
		return [...]string{"#6aa9e0", "#0b5cad"}[i%2]
	}
	return [...]string{"#c9c9c9", "#8c8c8c"}[i%2]
}

func (t Table) legend() string {
	if len(t.Procs) < 2 {
		return fmt.Sprintf("GOMAXPROCS %d", t.Procs[0])
	}
	return fmt.Sprintf("GOMAXPROCS %d light, %d dark", t.Procs[0], t.Procs[1])
}

// axis is a logarithmic scale between two powers of ten.
type axis struct{ low, high float64 }

func (t Table) scale() axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, row := range t.Rows {
		for _, c := range row.Cells {
			if c.Known && c.Value.Median > 0 {
				low = math.Min(low, math.Log10(c.Value.Median))
				high = math.Max(high, math.Log10(c.Value.Median))
			}
		}
	}
	if low > high { // nothing known, or nothing positive
		return axis{0, 1}
	}
	// A bar begins half a decade or more below the smallest value, so that each can be seen.
	a := axis{math.Floor(low - 0.5), math.Ceil(high)}
	if a.high <= a.low {
		a.high = a.low + 1
	}
	return a
}

// at returns a value's place in pixels from the axis' start.
func (a axis) at(v float64) float64 {
	if v <= 0 {
		return 0
	}
	const length = panelWidth - nameWidth - valueWidth
	return math.Max(0, (math.Log10(v)-a.low)/(a.high-a.low)*length)
}

func text(p *printer, x, y int, size, weight, anchor, fill, s string) {
	var b strings.Builder
	if p.err == nil {
		p.err = xml.EscapeText(&b, []byte(s))
	}
	p.printf(`<text x="%d" y="%d" font-size="%s" font-weight="%s" text-anchor="%s" fill="%s">%s</text>`+"\n",
		x, y, size, weight, anchor, fill, b.String())
}
