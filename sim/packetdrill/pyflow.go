package packetdrill

import "strings"

// Flow control of the code in %{ }%: if, for, while, def. Blocks are told by how far lines are indented, as in Python.

// maxPySteps bounds the statements that a block of code executes, against loops without an end.
const maxPySteps = 100_000

// maxPySize bounds a value of a variable: characters and members, those of members too.
const maxPySize = 100_000

// maxPyCalls bounds how deep functions call each other.
const maxPyCalls = 100

// block reads statements that begin to the right of column outer.
func (p *pyParser) block(outer int) (stmts []pyStmt) {
	for {
		switch t := p.peek(); {
		case t.kind == 0:
			return stmts
		case t.kind == ';':
			p.i++
			continue
		case t.col <= outer:
			return stmts
		}
		stmts = append(stmts, p.statement()...)
		if k := p.peek().kind; k != ';' && k != 0 && p.toks[p.i-1].kind != ';' {
			p.fail("expected the end of the statement, found %q", p.peek().text)
		}
	}
}

// compound reads a statement with a body, nil if the word begins none.
func (p *pyParser) compound(word string) *pyStmt {
	first := p.peek()
	st := &pyStmt{line: first.line}
	switch word {
	case "if", "elif", "while":
		p.i++
		st.kind = pyIf
		if word == "while" {
			st.kind = pyWhile
		}
		st.value = p.ternary()
	case "for":
		p.i++
		st.kind, st.names = pyFor, p.names("in")
		p.expect("in")
		st.value = p.tuple()
	case "def":
		p.i++
		st.kind, st.target = pyDef, p.word()
		p.expect("(")
		st.names = p.names(")")
		p.expect(")")
	default:
		return nil
	}
	st.text = strings.TrimSpace(p.src[first.off:p.peek().off])
	st.body = p.body(first.col)
	if st.kind == pyIf {
		st.orelse = p.orelse(first.col)
	}
	return st
}

// body reads what follows the colon: the rest of the line, or the lines that are indented further.
func (p *pyParser) body(col int) []pyStmt {
	if p.depth++; p.depth > maxDepth {
		p.fail("code is nested too deeply")
	}
	defer func() { p.depth-- }()
	p.expect(":")
	if p.peek().kind != ';' {
		stmts := p.statement()
		for p.peek().text == ";" {
			p.i++
			if k := p.peek().kind; k == 0 || k == ';' {
				break
			}
			stmts = append(stmts, p.statement()...)
		}
		return stmts
	}
	stmts := p.block(col)
	if len(stmts) == 0 {
		return nil // pass
	}
	return stmts
}

// orelse reads elif and else that belong to an if at column col. On the first line of a block of code columns are not
// those of the lines below, which may begin further to the left.
func (p *pyParser) orelse(col int) []pyStmt {
	at := p.i
	for p.peek().kind == ';' {
		p.i++
	}
	t := p.peek()
	switch {
	case t.kind != 'w' || t.col > col:
	case t.text == "elif":
		return []pyStmt{*p.compound("elif")}
	case t.text == "else":
		p.i++
		return p.body(t.col)
	}
	p.i = at
	return nil
}

// names reads names with commas between them, up to the word or operator that ends them.
func (p *pyParser) names(end string) (names []string) {
	for p.peek().text != end {
		names = append(names, p.word())
		if _, ok := p.accept(","); !ok {
			break
		}
	}
	return names
}

func (p *pyParser) word() string {
	t := p.peek()
	if t.kind != 'w' || isPyKeyword(t.text) {
		p.fail("expected a name, found %q", t.text)
	}
	p.i++
	return t.text
}

// flow tells how a statement ends.
type pyFlow uint8

const (
	pyNext pyFlow = iota
	pyBroke
	pyContinued
	pyReturned
)

// runBlock executes statements until one leaves the block.
func (sc *pyScope) runBlock(stmts []pyStmt) (pyFlow, pyValue) {
	for _, st := range stmts {
		if sc.steps++; sc.steps > maxPySteps {
			pyFail(st.line, "the code does not come to an end")
		}
		sc.used = sc.used[:0]
		if flow, v := sc.step(st); flow != pyNext {
			return flow, v
		}
	}
	return pyNext, pyValue{kind: 'n'}
}

// step executes a statement.
func (sc *pyScope) step(st pyStmt) (pyFlow, pyValue) {
	switch st.kind {
	case pyIf:
		if sc.eval(st.value, st.line).truth() {
			return sc.runBlock(st.body)
		}
		return sc.runBlock(st.orelse)
	case pyWhile:
		for sc.eval(st.value, st.line).truth() {
			if sc.steps++; sc.steps > maxPySteps {
				pyFail(st.line, "the code does not come to an end")
			}
			if flow, v := sc.runBlock(st.body); flow == pyReturned {
				return flow, v
			} else if flow == pyBroke {
				break
			}
		}
	case pyFor:
		for _, item := range sc.items(sc.eval(st.value, st.line), st.line) {
			sc.bind(st.names, item, st.line)
			if flow, v := sc.runBlock(st.body); flow == pyReturned {
				return flow, v
			} else if flow == pyBroke {
				break
			}
		}
	case pyDef:
		sc.funcs[st.target] = st
	case pyReturn:
		return pyReturned, sc.eval(st.value, st.line)
	case pyBreak:
		return pyBroke, pyValue{}
	case pyContinue:
		return pyContinued, pyValue{}
	case pyRaise:
		pyFail(st.line, "%s", st.text)
	default:
		sc.exec(st)
	}
	return pyNext, pyValue{}
}

// items are what a for goes through.
func (sc *pyScope) items(v pyValue, line int) []pyValue {
	switch v.kind {
	case 't':
		return v.t
	case 's':
		var items []pyValue
		for _, c := range v.s {
			items = append(items, pyValue{kind: 's', s: string(c)})
		}
		return items
	}
	pyFail(line, "cannot go through %s", v)
	return nil
}

// bind assigns to one name, or the members of a tuple to several.
func (sc *pyScope) bind(names []string, v pyValue, line int) {
	if len(names) == 1 {
		sc.set(names[0], v, line)
		return
	}
	if v.kind != 't' || len(v.t) != len(names) {
		pyFail(line, "cannot unpack %s into %d names", v, len(names))
	}
	for i, n := range names {
		sc.set(n, v.t[i], line)
	}
}

// set assigns: in a function to its own variables.
func (sc *pyScope) set(name string, v pyValue, line int) {
	if v.size(maxPySize) < 0 {
		pyFail(line, "the value of %s is too large", name)
	}
	if sc.local != nil {
		sc.local[name] = v
		return
	}
	sc.vars[name] = v
}

// size is what is left of a budget when the value was counted.
func (v pyValue) size(left int) int {
	left -= 1 + len(v.s)
	for _, m := range v.t {
		if left < 0 {
			break
		}
		left = m.size(left)
	}
	return left
}

// invoke calls a function of the script.
func (sc *pyScope) invoke(f pyStmt, args []pyValue, line int) pyValue {
	if len(args) != len(f.names) {
		pyFail(line, "%s takes %d arguments, not %d", f.target, len(f.names), len(args))
	}
	if sc.calls++; sc.calls > maxPyCalls {
		pyFail(line, "functions call each other too deeply")
	}
	outer := sc.local
	sc.local = map[string]pyValue{}
	for i, n := range f.names {
		sc.local[n] = args[i]
	}
	_, v := sc.runBlock(f.body)
	sc.local = outer
	sc.calls--
	if v.kind == 0 {
		v.kind = 'n'
	}
	return v
}

// pyRange is range(n), range(from, to) and range(from, to, step).
func pyRange(args []pyValue, line int) pyValue {
	from, to, step := int64(0), int64(0), int64(1)
	switch len(args) {
	case 1:
		to = args[0].i
	case 2, 3:
		from, to = args[0].i, args[1].i
		if len(args) == 3 {
			step = args[2].i
		}
	}
	v := pyValue{kind: 't'}
	if step == 0 || len(args) == 0 || len(args) > 3 {
		pyFail(line, "range needs one to three numbers, and a step that is not 0")
	}
	for i := from; step > 0 && i < to || step < 0 && i > to; i += step {
		if len(v.t) == maxPySteps {
			pyFail(line, "range is too long")
		}
		v.t = append(v.t, pyInt(i))
	}
	return v
}
