package packetdrill

import (
	"math"
	"strconv"
	"strings"
)

// call reads a system call and its expected result.
func (s *scanner) call() *callSpec {
	c := &callSpec{name: s.word("the name of a system call")}
	at := s.pos()
	s.expect("(")
	c.args = s.exprList(")")
	s.expect("=")
	if s.accept("?") {
		c.any = true
		return c
	}
	c.result = s.unary() // an operator would belong to the time of the next event
	s.space()
	if w := s.peekWord(); len(w) > 1 && w[0] == 'E' && strings.ToUpper(w) == w {
		if _, ok := errnoByName(w); !ok {
			s.fail(s.pos(), "unknown errno %s", w)
		}
		c.errno = s.word("errno")
	}
	if s.has("(") { // the text of the errno is a comment
		s.advance(1)
		s.until(")", "note")
	}
	if c.errno != "" && !(c.result.kind == exprUnary || c.result.kind == exprInt && c.result.num == -1) {
		s.fail(at, "a call that succeeds has no errno")
	}
	return c
}

// exprList reads expressions up to the closing text.
func (s *scanner) exprList(closing string) []expr {
	var list []expr
	if s.accept(closing) {
		return nil
	}
	for {
		list = append(list, s.expr())
		if s.accept(closing) {
			return list
		}
		if s.expect(","); s.accept(closing) {
			return list // a comma at the end, as C allows
		}
	}
}

// precedence of the binary operators that flags and sizes are written with.
var exprOperators = []struct {
	text string
	prec int
}{{"<<", 3}, {">>", 3}, {"|", 1}, {"&", 2}, {"+", 4}, {"-", 4}, {"*", 5}, {"/", 5}}

func (s *scanner) expr() expr {
	if s.depth++; s.depth > maxDepth {
		s.fail(s.pos(), "expression is nested too deeply")
	}
	defer func() { s.depth-- }()
	return s.binary(1)
}

func (s *scanner) binary(prec int) expr {
	left := s.unary()
	for n := 0; ; n++ {
		if n > maxDepth {
			s.fail(s.pos(), "expression is too long")
		}
		op := s.operator(prec)
		if op < 0 {
			return left
		}
		at := s.pos()
		s.advance(len(exprOperators[op].text))
		right := s.binary(exprOperators[op].prec + 1)
		left = expr{pos: at, kind: exprBinary, text: exprOperators[op].text, list: []expr{left, right}}
	}
}

// operator finds the binary operator that comes next, -1 if there is none of
// the given precedence or a higher one.
func (s *scanner) operator(prec int) int {
	for i, op := range exprOperators {
		if op.prec >= prec && s.has(op.text) {
			return i
		}
	}
	return -1
}

func (s *scanner) unary() expr {
	s.space()
	at := s.pos()
	if c := s.peek(); c == '-' || c == '~' || c == '!' {
		if s.depth++; s.depth > maxDepth {
			s.fail(at, "expression is nested too deeply")
		}
		defer func() { s.depth-- }()
		s.advance(1)
		x := s.unary()
		if c == '-' && x.kind == exprInt {
			x.num, x.pos = -x.num, at
			return x
		}
		return expr{pos: at, kind: exprUnary, text: string(c), list: []expr{x}}
	}
	return s.operand()
}

func (s *scanner) operand() expr {
	s.space()
	e := expr{pos: s.pos()}
	switch c := s.peek(); {
	case s.accept("..."):
		e.kind = exprEllipsis
	case c == '"':
		e.kind, e.text = exprString, s.quoted()
		for s.has(`"`) { // adjacent strings join, as in C
			e.text += s.quoted()
		}
	case isDigit(c):
		e.kind, e.num = exprInt, s.number()
	case s.accept("["):
		e.kind, e.list = exprList, s.exprList("]")
	case s.accept("{"):
		e.kind, e.fields = exprStruct, s.fields()
	case s.accept("("):
		e = s.expr()
		s.expect(")")
	case isLetter(c):
		e.kind, e.text = exprName, s.word("a constant")
		if s.peek() == '(' { // after a blank it begins a note
			s.advance(1)
			e.kind, e.list = exprCall, s.exprList(")")
		} else if v, ok := s.defines[e.text]; ok {
			return s.defined(e.pos, v)
		}
	default:
		s.fail(e.pos, "expected a value, found %s", s.found())
	}
	return e
}

// number reads a literal as C does: decimal, hexadecimal or octal.
func (s *scanner) number() int64 {
	at := s.pos()
	w := s.peekWord()
	digits := strings.TrimRight(w, "uUlL")
	n, err := strconv.ParseUint(digits, 0, 64)
	if err != nil || n > math.MaxInt64 {
		s.fail(at, "%s is no number", w)
	}
	s.advance(len(w))
	return int64(n)
}

// defined gives the value of a definition: a number, else a constant or text.
func (s *scanner) defined(at position, v string) expr {
	if n, err := strconv.ParseInt(v, 0, 64); err == nil {
		return expr{pos: at, kind: exprInt, num: n}
	}
	if _, ok := constantByName(v); ok {
		return expr{pos: at, kind: exprName, text: v}
	}
	return expr{pos: at, kind: exprString, text: strings.Trim(v, `"`)}
}

// fields reads the members of a struct up to its closing brace. A member may
// have an argument, as in msg_name(...)=..., which says nothing.
func (s *scanner) fields() []field {
	var list []field
	if s.accept("}") {
		return nil
	}
	for {
		list = append(list, s.field())
		if s.accept("}") {
			return list
		}
		s.expect(",")
	}
}

func (s *scanner) field() field {
	value := s.expr()
	if value.kind != exprName && value.kind != exprCall || !s.has("=") {
		return field{value: value}
	}
	s.advance(1)
	return field{name: value.text, value: s.expr()}
}
