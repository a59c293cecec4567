package packetdrill

import (
	"fmt"
	"strconv"
	"strings"
)

// The code of %{ }% blocks is the part of Python that assertions over
// TCP_INFO are written in: assert, assignment, if, for, while, def, return, raise,
// print (ignored), pass and import (ignored), with and, or, not, comparisons (chained as in Python),
// arithmetic, bit operations, strings, tuples, conditional expressions and the
// functions range, len, abs, min, max, int, float, round, bool and str.

// pyError is a mistake in code; line counts from 1 within the block.
type pyError struct {
	line, col int
	msg       string
}

func (e *pyError) Error() string { return fmt.Sprintf("%d:%d: %s", e.line, e.col, e.msg) }

type pyKind uint8

const (
	pyAssert pyKind = iota
	pyAssign
	pyEval // an expression for its own sake
	pyIf
	pyWhile
	pyFor
	pyDef
	pyReturn
	pyBreak
	pyContinue
	pyRaise
)

// pyStmt is a statement.
type pyStmt struct {
	kind    pyKind
	line    int
	text    string // source, for messages
	target  string // pyAssign
	op      string // of an augmented assignment
	value   pyExpr
	message *pyExpr  // of an assert
	names   []string // pyFor: targets; pyDef: parameters
	body    []pyStmt
	orelse  []pyStmt // pyIf
}

// pyExpr is an expression. op is "num", "str", "name", "tuple", "call",
// "if", "cmp" or an operator.
type pyExpr struct {
	op   string
	text string
	num  pyValue
	args []pyExpr
	cmps []string // operators between the args of "cmp"
}

// pyToken is a token: kind is 'n'umber, 's'tring, 'w'ord, 'o'perator, ';' at
// the end of a statement, or 0 at the end of the block.
type pyToken struct {
	kind      byte
	text      string
	line, col int
	off       int
}

// maxTokens bounds a block of code, and with it the depth of what it parses to.
const maxTokens = 10_000

type pyParser struct {
	src   string
	toks  []pyToken
	i     int
	depth int
}

func parsePython(src string) (stmts []pyStmt, err error) {
	p := &pyParser{src: src}
	defer func() {
		if r := recover(); r != nil {
			pe, ok := r.(*pyError)
			if !ok {
				panic(r)
			}
			err = pe
		}
	}()
	p.scan()
	return p.block(-1), nil
}

func (p *pyParser) peek() pyToken { return p.toks[p.i] }

func (p *pyParser) fail(format string, args ...any) {
	t := p.peek()
	panic(&pyError{t.line, t.col, fmt.Sprintf(format, args...)})
}

// accept consumes an operator or a word if it comes next.
func (p *pyParser) accept(texts ...string) (string, bool) {
	t := p.peek()
	if t.kind != 'o' && t.kind != 'w' {
		return "", false
	}
	for _, text := range texts {
		if t.text == text {
			p.i++
			return text, true
		}
	}
	return "", false
}

func (p *pyParser) expect(text string) {
	if _, ok := p.accept(text); !ok {
		p.fail("expected %q, found %q", text, p.peek().text)
	}
}

// pyOperators are tried longest first.
var pyOperators = []string{"**=", "//=", "<<=", ">>=", "==", "!=", "<=", ">=", "<<", ">>", "//", "**", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
	"+", "-", "*", "/", "%", "&", "|", "^", "~", "<", ">", "=", "(", ")", "[", "]", ",", ":", "."}

// scan splits the source into tokens. Line ends inside parentheses and after
// a backslash do not end a statement; comments begin with #.
func (p *pyParser) scan() {
	line, bol, nest := 1, 0, 0
	add := func(kind byte, from, to int) {
		if len(p.toks) == maxTokens {
			panic(&pyError{line, from - bol + 1, "block of code is too long"})
		}
		p.toks = append(p.toks, pyToken{kind, p.src[from:to], line, from - bol + 1, from})
	}
	for i := 0; i < len(p.src); {
		c := p.src[i]
		switch {
		case c == '\n':
			if nest == 0 {
				add(';', i, i+1)
			}
			i++
			line, bol = line+1, i
		case c == ';':
			add(';', i, i+1)
			i++
		case c == ' ' || c == '\t' || c == '\r' || c == '\\' && i+1 < len(p.src) && (p.src[i+1] == '\n' || p.src[i+1] == '\r'):
			if c == '\\' {
				i++
				for ; i < len(p.src) && p.src[i] == '\r'; i++ {
				}
				line, bol = line+1, i+1
			}
			i++
		case c == '#':
			for ; i < len(p.src) && p.src[i] != '\n'; i++ {
			}
		default:
			end, kind := p.token(i)
			if end == i {
				panic(&pyError{line, i - bol + 1, fmt.Sprintf("unexpected %q", c)})
			}
			add(kind, i, end)
			switch c {
			case '(', '[':
				nest++
			case ')', ']':
				nest = max(nest-1, 0)
			}
			i = end
		}
	}
	p.toks = append(p.toks, pyToken{0, "the end of the block", line, len(p.src) - bol + 1, len(p.src)})
}

// token finds the end and the kind of the token at i; the end is i if there is
// none.
func (p *pyParser) token(i int) (end int, kind byte) {
	c := p.src[i]
	switch {
	case isDigit(c) || c == '.' && i+1 < len(p.src) && isDigit(p.src[i+1]):
		for end = i; end < len(p.src) && (isDigit(p.src[end]) || isLetter(p.src[end]) || p.src[end] == '.'); end++ {
		}
		return end, 'n'
	case c == '"' || c == '\'':
		return p.stringEnd(i), 's'
	case isLetter(c):
		for end = i; end < len(p.src) && (isDigit(p.src[end]) || isLetter(p.src[end])); end++ {
		}
		if end == i+1 && end < len(p.src) && strings.ContainsRune("fbru", rune(c)) && (p.src[end] == '"' || p.src[end] == '\'') {
			return p.stringEnd(end), 's' // f"...": shown as it is
		}
		return end, 'w'
	}
	for _, op := range pyOperators {
		if strings.HasPrefix(p.src[i:], op) {
			return i + len(op), 'o'
		}
	}
	return i, 0
}

// stringEnd finds the end of the string that begins at i; i if it never ends.
func (p *pyParser) stringEnd(i int) int {
	for end := i + 1; end < len(p.src) && p.src[end] != '\n'; end++ {
		switch p.src[end] {
		case '\\':
			end++
		case p.src[i]:
			return end + 1
		}
	}
	return i
}

func (p *pyParser) statement() []pyStmt {
	first := p.peek()
	st := pyStmt{kind: pyEval, line: first.line}
	word := func(w string) bool { return first.kind == 'w' && first.text == w }
	if first.kind == 'w' {
		if c := p.compound(first.text); c != nil {
			return []pyStmt{*c}
		}
	}
	switch {
	case word("return"):
		p.i++
		st.kind, st.value = pyReturn, pyExpr{op: "name", text: "None"}
		if k := p.peek().kind; k != 0 && k != ';' {
			st.value = p.tuple()
		}
	case word("break"), word("continue"):
		p.i++
		st.kind = pyBreak
		if first.text == "continue" {
			st.kind = pyContinue
		}
	case word("raise"):
		st.kind = pyRaise
		for k := p.peek().kind; k != 0 && k != ';'; k = p.peek().kind {
			p.i++
		}
	case word("assert"):
		p.i++
		st.kind, st.value = pyAssert, p.ternary()
		if _, ok := p.accept(","); ok {
			m := p.tuple()
			st.message = &m
		}
	case word("import"), word("from"), word("pass"), word("global"):
		for k := p.peek().kind; k != 0 && k != ';'; k = p.peek().kind {
			p.i++
		}
		return nil
	case word("print") && p.toks[p.i+1].kind != 'o': // Python 2
		p.i++
		if k := p.peek().kind; k != 0 && k != ';' {
			st.value = p.tuple()
		}
	case word("class"), word("try"), word("with"), word("del"), word("elif"), word("else"):
		p.fail("%s is not supported", first.text)
	case first.kind == 'w' && p.toks[p.i+1].kind == 'o' && strings.HasSuffix(p.toks[p.i+1].text, "=") && !isComparison(p.toks[p.i+1].text):
		p.i++
		st.kind, st.target, st.op = pyAssign, first.text, strings.TrimSuffix(p.peek().text, "=")
		p.i++
		st.value = p.tuple()
	default:
		st.value = p.tuple()
	}
	st.text = strings.TrimSpace(p.src[first.off:p.peek().off])
	if st.value.op == "" && st.kind == pyEval { // print alone
		return nil
	}
	return []pyStmt{st}
}

func isComparison(op string) bool {
	switch op {
	case "==", "!=", "<", "<=", ">", ">=", "in", "is":
		return true
	}
	return false
}

// tuple reads expressions with commas between them.
func (p *pyParser) tuple() pyExpr {
	e := p.ternary()
	if p.peek().text != "," || p.peek().kind != 'o' {
		return e
	}
	t := pyExpr{op: "tuple", args: []pyExpr{e}}
	for {
		if _, ok := p.accept(","); !ok {
			return t
		}
		if k := p.peek(); k.kind == 0 || k.kind == ';' || k.text == ")" || k.text == "]" {
			return t
		}
		t.args = append(t.args, p.ternary())
	}
}

func (p *pyParser) ternary() pyExpr {
	if p.depth++; p.depth > maxDepth {
		p.fail("expression is nested too deeply")
	}
	defer func() { p.depth-- }()
	e := p.binary(0)
	if _, ok := p.accept("if"); ok {
		cond := p.binary(0)
		p.expect("else")
		return pyExpr{op: "if", args: []pyExpr{cond, e, p.ternary()}}
	}
	return e
}

// pyLevels are the binary operators, from the loosest.
var pyLevels = [][]string{{"or"}, {"and"}, {"not"}, {"=="}, {"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%"}}

const pyNotLevel, pyCompareLevel = 2, 3

func (p *pyParser) binary(level int) pyExpr {
	switch level {
	case len(pyLevels):
		return p.unary()
	case pyNotLevel:
		n := 0
		for _, ok := p.accept("not"); ok; _, ok = p.accept("not") {
			n++
		}
		e := p.binary(level + 1)
		for n = min(n, 2-n%2); n > 0; n-- { // pairs cancel out, up to being a bool
			e = pyExpr{op: "not", args: []pyExpr{e}}
		}
		return e
	case pyCompareLevel:
		return p.comparison()
	}
	e := p.binary(level + 1)
	for {
		op, ok := p.accept(pyLevels[level]...)
		if !ok {
			return e
		}
		e = pyExpr{op: op, args: []pyExpr{e, p.binary(level + 1)}}
	}
}

func (p *pyParser) comparison() pyExpr {
	e := p.binary(pyCompareLevel + 1)
	c := pyExpr{op: "cmp", args: []pyExpr{e}}
	for {
		op, ok := p.accept("==", "!=", "<=", ">=", "<", ">", "in", "is", "not")
		if !ok {
			break
		}
		if op == "not" {
			p.expect("in")
			op = "not in"
		} else if _, not := p.accept("not"); not && op == "is" {
			op = "is not"
		} else if not {
			p.fail("unexpected not")
		}
		c.cmps = append(c.cmps, op)
		c.args = append(c.args, p.binary(pyCompareLevel+1))
	}
	if len(c.cmps) == 0 {
		return e
	}
	return c
}

func (p *pyParser) unary() pyExpr {
	if p.depth++; p.depth > maxDepth {
		p.fail("expression is nested too deeply")
	}
	defer func() { p.depth-- }()
	if op, ok := p.accept("-", "+", "~"); ok {
		return pyExpr{op: "unary" + op, args: []pyExpr{p.unary()}}
	}
	e := p.primary()
	if _, ok := p.accept("**"); ok {
		return pyExpr{op: "**", args: []pyExpr{e, p.unary()}}
	}
	return e
}

func (p *pyParser) primary() pyExpr {
	t := p.peek()
	switch {
	case t.kind == 'n':
		p.i++
		return pyExpr{op: "num", num: p.number(t)}
	case t.kind == 's':
		p.i++
		text := strings.TrimLeft(t.text, "fbru")
		return pyExpr{op: "str", text: text[1 : len(text)-1]}
	case t.kind == 'w' && !isPyKeyword(t.text):
		p.i++
		if _, ok := p.accept("("); !ok {
			return pyExpr{op: "name", text: t.text}
		}
		return pyExpr{op: "call", text: t.text, args: p.arguments(")")}
	}
	if _, ok := p.accept("("); ok {
		return p.parenthesis()
	}
	if _, ok := p.accept("["); ok {
		return pyExpr{op: "tuple", args: p.arguments("]")}
	}
	p.fail("expected a value, found %q", t.text)
	panic("unreachable")
}

// parenthesis reads what follows "(": a tuple or a grouped expression.
func (p *pyParser) parenthesis() pyExpr {
	if _, ok := p.accept(")"); ok {
		return pyExpr{op: "tuple"}
	}
	e := p.tuple()
	p.expect(")")
	return e
}

func (p *pyParser) arguments(closing string) []pyExpr {
	var args []pyExpr
	for {
		if _, ok := p.accept(closing); ok {
			return args
		}
		args = append(args, p.ternary())
		if _, ok := p.accept(","); !ok {
			p.expect(closing)
			return args
		}
	}
}

func isPyKeyword(w string) bool {
	switch w {
	case "and", "or", "not", "if", "else", "in", "is", "assert", "lambda", "for", "while", "import", "def", "class":
		return true
	}
	return false
}

func (p *pyParser) number(t pyToken) pyValue {
	text := strings.TrimRight(t.text, "lL")
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return pyInt(n)
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		p.i--
		p.fail("%s is no number", t.text)
	}
	return pyFloat(f)
}
