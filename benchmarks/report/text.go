package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Markdown writes the report for a README.
func (r *Report) Markdown(w io.Writer) error {
	p := &printer{w: w}
	p.printf("Measured on %s.\n", r.Machine)
	p.printf("Medians of %d interleaved rounds of %v; ± is half of the range between the extremes; ratios are medians of the ratios in each round. "+
		"P is GOMAXPROCS. Each measurement has a process of its own.%s\n\n", r.Rounds, r.Time, r.note())
	r.goalsMarkdown(p)
	for _, t := range r.Tables() {
		p.printf("### %s\n\n%s (%s).\n\n", t.heading(), sentence(t.Workload.About), t.direction())
		h := t.header()
		p.printf("| %s |\n|---|%s\n", strings.Join(h, " | "), strings.Repeat("---:|", len(h)-1))
		for _, row := range t.Rows {
			p.printf("| %s |\n", strings.Join(t.record(row), " | "))
		}
		p.printf("\n")
	}
	r.failures(p)
	return p.err
}

// note is what else is to be said, as it follows other sentences.
func (r *Report) note() string {
	s := ""
	if r.Settle > 0 {
		s = fmt.Sprintf(" Of what decides a goal up to %d more rounds were made while the 95 %% confidence interval of its ratio, "+
			"given in brackets then, included the limit.", r.Settle)
	}
	if r.Note != "" {
		s += " " + r.Note
	}
	return s
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (r *Report) goalsMarkdown(p *printer) {
	verdicts := r.Verdicts()
	if len(verdicts) == 0 {
		return
	}
	p.printf("| goal | measured | |\n|---|---:|---|\n")
	for _, v := range verdicts {
		p.printf("| %s | %s | %s |\n", v.Goal, v.Got, mark(v.Met))
	}
	p.printf("\n")
}

func mark(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}

// Text writes the report for a terminal.
func (r *Report) Text(w io.Writer) error {
	p := &printer{w: w}
	p.printf("%s\n%d rounds of %v, medians ± half of the range.%s\n", r.Machine, r.Rounds, r.Time, r.note())
	for _, t := range r.Tables() {
		p.printf("\n%s (%s)\n", t.heading(), t.direction())
		rows := [][]string{t.header()}
		for _, row := range t.Rows {
			rows = append(rows, t.record(row))
		}
		align(p, rows)
	}
	if verdicts := r.Verdicts(); len(verdicts) > 0 {
		p.printf("\nGoals\n")
		var rows [][]string
		for _, v := range verdicts {
			rows = append(rows, []string{v.Goal, v.Got, strings.Trim(mark(v.Met), "*")})
		}
		align(p, rows)
	}
	r.failures(p)
	return p.err
}

func (r *Report) failures(p *printer) {
	if len(r.Failures) == 0 {
		return
	}
	p.printf("\nNot measured, because it failed:\n\n")
	for _, f := range r.Failures {
		p.printf("- %s, %s, P=%d: %s\n", f.Workload, f.Peer, f.Procs, f.Why)
	}
}

// align prints columns, the first to the left, the others to the right.
func align(p *printer, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, s := range row {
			width[i] = max(width[i], utf8.RuneCountInString(s))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, s := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(s))
			if i == 0 {
				b.WriteString("  " + s + pad)
			} else {
				b.WriteString("  " + pad + s)
			}
		}
		p.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
}

// Benchstat writes every round in the format of Go's benchmarks.
func (r *Report) Benchstat(w io.Writer) error {
	p := &printer{w: w}
	p.printf("goos: %s\ngoarch: %s\npkg: example.com/loopback/benchmarks\ncpu: %s\n",
		r.Machine.OS, r.Machine.Arch, r.Machine.CPU)
	for _, unit := range []string{"MB/s", "conn/s", "req/s", "pkt/s", "rt/s"} {
		p.printf("Unit %s better=higher\n", unit)
	}
	for _, l := range r.Lines {
		name := "Benchmark" + strings.ToUpper(l.Workload[:1]) + l.Workload[1:]
		if l.Params != "" {
			name += "/" + l.Params
		}
		name += "/peer=" + l.Peer
		if l.Procs != 1 {
			name += fmt.Sprintf("-%d", l.Procs)
		}
		p.printf("%s %d", name, l.N)
		for _, m := range l.Metrics {
			p.printf(" %.6g %s", m.Value, m.Unit)
		}
		p.printf("\n")
	}
	return p.err
}

// printer remembers the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
