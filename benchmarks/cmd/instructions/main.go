// Command instructions counts the machine instructions of one operation of a workload, by stepping through them one
// at a time. Unlike a time the count is nearly the same on every run and every machine, however busy; so it shows
// a change of a hundredth that no clock does, and says in which function.
//
//	go run ./cmd/instructions                                # a TCP round trip
//	go run ./cmd/instructions -workload udp-64 -top 20
//	go run ./cmd/instructions -peer bufconn
//	go run ./cmd/instructions -order                         # the life of a packet, function by function
//	go run ./cmd/instructions -data                          # the cache lines of data, and who writes to them
//
// Beside the instructions it counts the cache lines of code they lie on (64 bytes each): what is executed again and
// again and does not fit into the instruction cache, of 32 KiB as a rule, is slower than its instructions are; how often
// that happens is computed from the addresses, which the linker gives and any change may change. And it
// counts the instructions that cost as much as dozens of others: those with a lock (18 clock cycles or so, in which nothing
// else is done), readings of the clock, indirect calls, divisions and repeated string instructions. It counts calls of
// functions too: one costs seven cycles or so beside its work.
//
// With -data it says which cache lines of data are read and written, and by which functions: those that are written travel from
// processor to processor with the work. Stacks are left out, and what vector instructions beyond SSE touch is not seen.
//
// The workload runs in a process of its own on one processor, without garbage collection, and time stands still for it:
// a round trip takes a hundred milliseconds in single steps, and every timer would expire. Linux on amd64 only, where
// one may trace one's own children.
package main

import (
	"bufio"
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"example.com/loopback/benchmarks/workload"
)

func main() {
	var o options
	o.flags(flag.CommandLine)
	top := flag.Int("top", 40, "how many functions to print")
	order := flag.Bool("order", false, "print the functions in the order of their execution instead, for one operation")
	data := flag.Bool("data", false, "print the cache lines of data that are read and written instead")
	child := flag.Bool("child", false, "be the process that is stepped through")
	flag.Parse()
	if *child {
		fatal(serve(o, os.Stdout))
		return
	}
	var used lines
	if *data {
		used = lines{}
	}
	steps, err := step(o, used)
	fatal(err)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	if *data {
		writeData(out, used, o.ops)
		return
	}
	if *order {
		writeOrder(out, steps[:len(steps)/o.ops])
		return
	}
	write(out, o, count(steps, o.ops), *top)
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "instructions:", err)
		os.Exit(1)
	}
}

// options say what is stepped through.
type options struct {
	workload, peer string
	ops            int
}

func (o *options) flags(f *flag.FlagSet) {
	f.StringVar(&o.workload, "workload", "rtt", "`name` of the workload (go run ./cmd/compare -list)")
	f.StringVar(&o.peer, "peer", "loopback", "`name` of the peer")
	f.IntVar(&o.ops, "ops", 16, "how many operations to step through; the counts are their mean")
}

func (o options) args() []string {
	return []string{"-child", "-workload", o.workload, "-peer", o.peer, "-ops", fmt.Sprint(o.ops)}
}

// serve is the child: it runs the workload for ever and marks the beginning of each run. It says so when all that happens
// only at the beginning is over.
func serve(o options, ready io.Writer) error {
	w, err := workload.Find(o.workload)
	if err != nil {
		return err
	}
	if w.Start == nil {
		return fmt.Errorf("%s measures in its own way, not by operations", w.Name)
	}
	loop, err := w.Start(&workload.Env{Peer: o.peer})
	if err != nil {
		return err
	}
	defer loop.Stop()
	if err := loop.Run(2000); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := loop.Run(o.ops); err != nil {
			return err
		}
		if i == 100 {
			if _, err := fmt.Fprintln(ready, "ready"); err != nil {
				return err
			}
		}
		mark()
	}
}

//go:noinline
func mark() {}

func markPC() uintptr { return reflect.ValueOf(mark).Pointer() }

// tally is what was executed, per operation.
type tally struct {
	function
	funcs      []function
	pages      int     // of 4 KiB, of code, of all operations
	missedHalf float64 // missed, if the cache is shared with another thread
}

type function struct {
	name         string
	instructions float64
	costly       [kinds]float64 // of them, by kind
	calls        float64
	missed       float64 // lines that a cache for instructions does not keep
	lines        int     // cache lines of code, of all operations
}

// count adds up the steps, which are those of ops operations. A reading of the clock is counted where the
// vDSO is called, whose code is not the processor's own while time stands still.
func count(steps []executed, ops int) tally {
	type sum struct {
		function
		lines map[uintptr]bool
	}
	sums := map[string]*sum{}
	all, pages := &sum{lines: map[uintptr]bool{}}, map[uintptr]bool{}
	var last *sum
	for _, at := range steps {
		name, entry := functionAt(at.pc)
		s := sums[name]
		if s == nil {
			s = &sum{function{name: name}, map[uintptr]bool{}}
			sums[name] = s
		}
		for _, s := range []*sum{all, s} {
			s.instructions++
			s.costly[at.kind]++
			s.lines[at.pc>>lineBits] = true
		}
		if at.pc == entry {
			s.calls++
			all.calls++
		}
		pages[at.pc>>pageBits] = true
		if name == vdso && last != nil && last != s {
			all.costly[clock]++
			last.costly[clock]++
		}
		last = s
	}
	for _, i := range missed(steps, ways) {
		name, _ := functionAt(steps[i].pc)
		sums[name].missed++
		all.missed++
	}
	finish := func(s *sum) function {
		s.function.lines = len(s.lines)
		s.missed /= float64(ops)
		s.instructions /= float64(ops)
		s.calls /= float64(ops)
		for k := range s.costly {
			s.costly[k] /= float64(ops)
		}
		return s.function
	}
	t := tally{function: finish(all), pages: len(pages)}
	t.missedHalf = float64(len(missed(steps, ways/2))) / float64(ops)
	for _, s := range sums {
		t.funcs = append(t.funcs, finish(s))
	}
	slices.SortFunc(t.funcs, func(a, b function) int {
		return cmp.Or(cmp.Compare(b.instructions, a.instructions), strings.Compare(a.name, b.name))
	})
	return t
}

const vdso = "[vdso]"

// functionAt names the function that pc is in; what is not Go is the kernel's vDSO.
func functionAt(pc uintptr) (name string, entry uintptr) {
	f := runtime.FuncForPC(pc)
	if f == nil {
		return vdso, 0
	}
	return strings.TrimPrefix(f.Name(), "example.com/loopback/"), f.Entry()
}

// packageOf returns the package of a function's name.
func packageOf(name string) string {
	dir, last := "", name
	if i := strings.LastIndexByte(strings.SplitN(name, "[", 2)[0], '/'); i >= 0 {
		dir, last = name[:i+1], name[i+1:]
	}
	return dir + strings.SplitN(last, ".", 2)[0]
}

// packages adds up the functions of each package.
func (t tally) packages() []function {
	sums := map[string]*function{}
	for _, f := range t.funcs {
		name := packageOf(f.name)
		if sums[name] == nil {
			sums[name] = &function{name: name}
		}
		sums[name].instructions += f.instructions
		sums[name].lines += f.lines
		sums[name].missed += f.missed
		for k := range f.costly {
			sums[name].costly[k] += f.costly[k]
		}
	}
	var all []function
	for _, f := range sums {
		all = append(all, *f)
	}
	slices.SortFunc(all, func(a, b function) int {
		return cmp.Or(cmp.Compare(b.instructions, a.instructions), strings.Compare(a.name, b.name))
	})
	return all
}

func write(out io.Writer, o options, t tally, top int) {
	fmt.Fprintf(out, "%s over %s: %.0f instructions an operation in %.1f calls, on %d cache lines and %d pages of code;\n",
		o.workload, o.peer, t.instructions, t.calls, t.lines, t.pages)
	fmt.Fprintf(out, "%.1f times a line is missed by a cache of 32 KiB, %.1f times by one of 16 KiB\n", t.missed, t.missedHalf)
	fmt.Fprintf(out, "of the instructions %.1f are locked, %.1f indirect calls, %.1f divisions, %.1f repeated; the clock is read %.1f times\n\n",
		t.costly[locked], t.costly[indirect], t.costly[division], t.costly[repeated], t.costly[clock])
	fmt.Fprintf(out, "%12s %7s %7s %s  package\n", "instructions", "lines", "missed", columns)
	for _, p := range t.packages() {
		fmt.Fprintf(out, "%12.1f %7d %7.1f %s  %s\n", p.instructions, p.lines, p.missed, p.costs(), p.name)
	}
	fmt.Fprintf(out, "\n%12s %7s %7s %7s %s  function\n", "instructions", "calls", "lines", "missed", columns)
	for _, f := range t.funcs[:min(top, len(t.funcs))] {
		fmt.Fprintf(out, "%12.1f %7.1f %7d %7.1f %s  %s\n", f.instructions, f.calls, f.lines, f.missed, f.costs(), f.name)
	}
}

const columns = "  lock clock indir   div   rep"

// costs writes the costly instructions in columns, of which most are empty.
func (f function) costs() string {
	var b strings.Builder
	for _, k := range []kind{locked, clock, indirect, division, repeated} {
		if f.costly[k] == 0 {
			b.WriteString("     .")
			continue
		}
		fmt.Fprintf(&b, " %5.1f", f.costly[k])
	}
	return b.String()
}

// writeOrder prints the functions as they follow each other, with how many instructions each had its turn for, and how
// many of them were locked; > marks where one is entered.
func writeOrder(out io.Writer, steps []executed) {
	for i := 0; i < len(steps); {
		name, entry := functionAt(steps[i].pc)
		n := 1
		for i+n < len(steps) {
			if next, _ := functionAt(steps[i+n].pc); next != name || steps[i+n].pc == entry {
				break
			}
			n++
		}
		sign, locks := " ", ""
		if steps[i].pc == entry {
			sign = ">"
		}
		for _, at := range steps[i : i+n] {
			if at.kind == locked {
				locks += "*"
			}
		}
		fmt.Fprintf(out, "%7d %5d %-3s %s %s\n", i, n, locks, sign, name)
		i += n
	}
}
