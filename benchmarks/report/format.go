package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"example.com/loopback/benchmarks/workload"
)

// Value prints a number of a unit as people read it: "17.7 µs", "5.2 M/s", "1.4 KiB".
func Value(unit string, v float64) string {
	switch unit {
	case "ns/op", "cpu-ns/op":
		return duration(v)
	case "MB/s":
		return grouped(v)
	case "conn/s", "req/s", "pkt/s", "rt/s":
		return metric(v)
	case "B/pair", "B/stack":
		return grouped(v)
	case "open-s":
		return significant(v) + " s"
	case "cpu-s/GB":
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	return significant(v)
}

// Name prints a unit as the head of a column.
func Name(unit string) string {
	switch unit {
	case "ns/op":
		return "time"
	case "cpu-s/GB":
		return "CPU s/GB"
	case "cpu-ns/op":
		return "CPU time"
	case "packets/op":
		return "packets"
	case "allocs/op":
		return "allocs"
	case "open-s":
		return "opened in"
	}
	return unit
}

func duration(ns float64) string {
	switch {
	case ns < 1000:
		return significant(ns) + " ns"
	case ns < 1e6:
		return significant(ns/1e3) + " µs"
	case ns < 1e9:
		return significant(ns/1e6) + " ms"
	}
	return significant(ns/1e9) + " s"
}

func metric(v float64) string {
	switch {
	case v < 1e4:
		return grouped(v)
	case v < 1e6:
		return significant(v/1e3) + " k"
	}
	return significant(v/1e6) + " M"
}

// significant prints three significant digits, and not more than two after the point.
func significant(v float64) string {
	switch a := math.Abs(v); {
	case a < 0.005:
		return "0"
	case a < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return grouped(v)
}

// grouped prints a whole number with commas.
func grouped(v float64) string {
	s := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	var b strings.Builder
	if v < 0 && s != "0" {
		b.WriteByte('-')
	}
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// spread prints how far the rounds were apart, when there were several.
func spread(s Summary) string {
	if s.N < 2 {
		return ""
	}
	return fmt.Sprintf(" ±%.0f %%", 100*s.Spread())
}

// ratio prints how many times better ours is.
func ratio(x float64) string {
	if x == 0 {
		return ""
	}
	return significant(x) + " ×"
}

// heading is the title of a table.
func (t Table) heading() string {
	if t.Params == "" {
		return t.Workload.Title
	}
	return t.Workload.Title + ": " + strings.ReplaceAll(strings.ReplaceAll(t.Params, "/", ", "), "=", " ")
}

// direction says which way the compared metric is better.
func (t Table) direction() string {
	if workload.HigherIsBetter(t.Unit) {
		return "higher is better"
	}
	return "lower is better"
}

// header and record are the table's cells as text.
func (t Table) header() []string {
	h := []string{"peer"}
	for _, p := range t.Procs {
		suffix := fmt.Sprintf(", P=%d", p)
		h = append(h, Name(t.Unit)+suffix, "loopback is better by")
		for _, o := range t.Others {
			h = append(h, Name(o)+suffix)
		}
	}
	return h
}

func (t Table) record(r Row) []string {
	rec := []string{r.Peer}
	for _, c := range r.Cells {
		if !c.Known {
			rec = append(rec, "–", "")
		} else {
			better := ratio(c.Ratio)
			if r.Peer == Ours {
				better = ""
			}
			rec = append(rec, Value(t.Unit, c.Value.Median)+spread(c.Value), better)
		}
		for i, o := range c.Others {
			if !o.Known {
				rec = append(rec, "–")
				continue
			}
			rec = append(rec, Value(t.Others[i], o.Value.Median))
		}
	}
	return rec
}
