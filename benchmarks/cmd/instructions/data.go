package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// An operand is memory that an instruction reads or writes to.
type operand struct {
	at    uintptr
	size  int
	write bool
}

// registers tells what is in a register; ok is false for those it does not know of.
type registers func(x86asm.Reg) (value uint64, ok bool)

// memory returns the operands in memory of an instruction that is about to be executed: those it names. What calls and pushes do to the
// stack is not among them.
func memory(in x86asm.Inst, regs registers) (ops []operand) {
	switch in.Op {
	case x86asm.LEA, x86asm.NOP, x86asm.PREFETCHNTA, x86asm.PREFETCHT0, x86asm.PREFETCHT1, x86asm.PREFETCHT2, x86asm.PREFETCHW:
		return nil // name memory and leave it alone
	}
	for i, arg := range in.Args {
		m, ok := arg.(x86asm.Mem)
		if !ok || m.Segment == x86asm.FS || m.Segment == x86asm.GS { // a thread's own
			continue
		}
		base, known := register(m.Base, regs)
		index, known2 := register(m.Index, regs)
		if !known || !known2 {
			continue
		}
		if m.Base == x86asm.RIP {
			base += uint64(in.Len)
		}
		ops = append(ops, operand{uintptr(base + index*uint64(m.Scale) + uint64(m.Disp)), max(in.MemBytes, 1), i == 0 && !onlyReads(in.Op)})
	}
	return ops
}

func register(r x86asm.Reg, regs registers) (uint64, bool) {
	if r == 0 {
		return 0, true
	}
	return regs(r)
}

// onlyReads says whether an instruction leaves its first operand as it is.
func onlyReads(op x86asm.Op) bool {
	switch op {
	case x86asm.CMP, x86asm.TEST, x86asm.BT, x86asm.CALL, x86asm.JMP, x86asm.PUSH, x86asm.MUL, x86asm.IMUL, x86asm.DIV, x86asm.IDIV,
		x86asm.UCOMISD, x86asm.UCOMISS, x86asm.COMISD, x86asm.COMISS, x86asm.PTEST:
		return true
	}
	return false
}

// lines are the cache lines of data that were used, by their addresses.
type lines map[uintptr]*lineUse

// lineUse is what was done with a line.
type lineUse struct {
	reads, writes int
	stack         bool
	by            map[string]bool // the functions: true for those that wrote
}

// nearStack is how far from the stack pointer memory is deemed part of the stack, in bytes.
const nearStack = 4096

// note adds an operand of the function fn.
func (l lines) note(fn string, o operand, sp uintptr) {
	for at := o.at >> lineBits; at <= (o.at+uintptr(o.size)-1)>>lineBits; at++ {
		u := l[at]
		if u == nil {
			u = &lineUse{by: map[string]bool{}}
			l[at] = u
		}
		u.stack = u.stack || o.at+nearStack >= sp && o.at < sp+nearStack
		if o.write {
			u.writes++
		} else {
			u.reads++
		}
		u.by[fn] = u.by[fn] || o.write
	}
}

// count returns how many lines there are beside stacks, and how many of them are written to, of those that functions of the package use;
// "" stands for all packages.
func (l lines) count(pkg string) (all, written int) {
	for _, u := range l {
		used, wrote := false, false
		for fn, w := range u.by {
			if pkg == "" || packageOf(fn) == pkg {
				used, wrote = true, wrote || w
			}
		}
		if used && !u.stack {
			all++
			if wrote {
				written++
			}
		}
	}
	return all, written
}

// writeData prints the lines in the order of their addresses, with how often they are read and written to in one of ops operations, and by
// which functions, * behind those that write.
func writeData(out io.Writer, l lines, ops int) {
	all, written := l.count("")
	fmt.Fprintf(out, "%d cache lines of data, %d of them written to; stacks are left out\n\n", all, written)
	pkgs := map[string]bool{}
	for _, u := range l {
		for fn := range u.by {
			pkgs[packageOf(fn)] = true
		}
	}
	fmt.Fprintf(out, "%7s %7s  package\n", "lines", "written")
	for _, pkg := range slices.Sorted(maps.Keys(pkgs)) {
		if all, written := l.count(pkg); all > 0 {
			fmt.Fprintf(out, "%7d %7d  %s\n", all, written, pkg)
		}
	}
	fmt.Fprintf(out, "\n%16s %7s %7s  functions\n", "line", "reads", "writes")
	for _, at := range slices.Sorted(maps.Keys(l)) {
		u := l[at]
		if u.stack {
			continue
		}
		var by []string
		for _, fn := range slices.Sorted(maps.Keys(u.by)) {
			if u.by[fn] {
				fn += "*"
			}
			by = append(by, fn)
		}
		fmt.Fprintf(out, "%16x %7.1f %7.1f  %s\n", at<<lineBits, float64(u.reads)/float64(ops), float64(u.writes)/float64(ops), strings.Join(by, " "))
	}
}
