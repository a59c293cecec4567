package packetdrill

import (
	"errors"
	"maps"
	"strings"
)

// maxEvents bounds the events of a script.
const maxEvents = 100_000

// Parse reads a script; name is for messages. Errors are *SyntaxError.
//
// Definitions made in the script itself (-D NAME=VALUE, --define=NAME=VALUE)
// apply to what follows; those of a caller come with ParseWith or in
// Options.Defines.
func Parse(name, src string) (*Script, error) {
	return ParseWith(name, src, nil)
}

// ParseWith is Parse with definitions: $NAME and ${NAME} anywhere, and NAME
// where a number or a constant is expected, stand for the value. They go
// before those that the script makes itself.
func ParseWith(name, src string, defines map[string]string) (_ *Script, err error) {
	defer func() {
		if r := recover(); r != nil {
			syntax, ok := r.(*SyntaxError)
			if !ok {
				panic(r)
			}
			err = syntax
		}
	}()
	if len(src) > maxExpanded {
		return nil, &SyntaxError{name, 1, 1, "script is too long"}
	}
	own := map[string]string{}
	s := &scanner{file: name, src: src, line: 1, defines: own}
	script := &Script{name: name, src: src}
	script.opts = s.options()
	for _, o := range script.opts {
		if o.name == "define" {
			k, v, _ := strings.Cut(o.value, "=")
			own[k] = v
		}
	}
	maps.Copy(own, defines)
	s.src = s.src[:s.off] + expand(s.src[s.off:], own)
	for s.space(); !s.eof(); s.space() {
		if len(script.events) == maxEvents {
			s.fail(s.pos(), "more than %d events", maxEvents)
		}
		script.events = append(script.events, s.event())
	}
	return script, nil
}

// options reads the --name=value and -D lines at the top.
func (s *scanner) options() []option {
	var list []option
	for s.has("--") || s.has("-D") {
		at := s.pos()
		if s.accept("-D") {
			s.space()
			list = append(list, option{at, "define", s.definition()})
			continue
		}
		s.accept("--")
		name := s.word("the name of an option")
		value := ""
		switch {
		case s.peek() == '=':
			s.advance(1)
			value = s.optionValue()
		case name == "define":
			s.space()
			value = s.definition()
		}
		if name == "define" && !strings.Contains(value, "=") {
			s.fail(at, "expected --define=NAME=VALUE")
		}
		list = append(list, option{at, name, value})
	}
	return list
}

func (s *scanner) definition() string {
	at := s.pos()
	v := s.optionValue()
	if k, _, ok := strings.Cut(v, "="); !ok || k == "" {
		s.fail(at, "expected NAME=VALUE")
	}
	return v
}

// optionValue reads up to a blank; quotes protect blanks.
func (s *scanner) optionValue() string {
	var b strings.Builder
	for !s.eof() && !strings.ContainsRune(" \t\r\n\f", rune(s.peek())) {
		if s.peek() == '"' {
			b.WriteString(s.quoted())
			continue
		}
		b.WriteByte(s.peek())
		s.advance(1)
	}
	return b.String()
}

func (s *scanner) event() event {
	start := s.off
	e := event{pos: s.pos(), when: timeSpec{kind: timeRelative}}
	if !s.has("`") && !s.has("%{") {
		e.when = s.when()
	}
	s.space()
	switch c := s.peek(); {
	case c == '`':
		s.advance(1)
		e.act = &commandSpec{strings.TrimSpace(s.until("`", "command"))}
	case c == '%' && s.at(1) == '{':
		s.advance(2)
		at := s.pos()
		text := s.until("}%", "code block")
		e.act = &codeSpec{at, s.python(at, text)}
	case c == '<' || c == '>':
		e.act = s.packet()
	case isLetter(c):
		e.act = s.call()
	default:
		s.fail(s.pos(), "expected a packet, a system call, a command or code, found %s", s.found())
	}
	if _, ok := e.act.(*callSpec); !ok && e.when.blocking {
		s.fail(e.pos, "only system calls take a time of completion")
	}
	e.text = squeeze(s.src[start:s.off])
	return e
}

// squeeze joins the lines of an event for messages.
func squeeze(text string) string {
	return strings.Join(strings.Fields(text), " ")
}

// when reads the time of an event.
func (s *scanner) when() timeSpec {
	if s.accept("*") {
		return timeSpec{kind: timeAny}
	}
	w := timeSpec{kind: timeAbsolute}
	if s.accept("+") {
		w.kind = timeRelative
	}
	at := s.pos()
	w.from = s.seconds()
	w.to = w.from
	if s.accept("~") {
		s.accept("+")
		if w.to = s.seconds(); w.to < w.from {
			s.fail(at, "range of time ends before it begins")
		}
	}
	if s.accept("...") {
		s.accept("+")
		w.blocking = true
		if w.end = s.seconds(); w.end < w.from {
			s.fail(at, "call ends before it begins")
		}
	}
	return w
}

// python parses the text of a code block, which begins at the given position.
func (s *scanner) python(at position, text string) []pyStmt {
	stmts, err := parsePython(text)
	if err != nil {
		var pe *pyError
		if errors.As(err, &pe) {
			where := position{at.line + pe.line - 1, pe.col}
			if pe.line == 1 {
				where.col += at.col - 1
			}
			s.fail(where, "%s", pe.msg)
		}
		s.fail(at, "%v", err)
	}
	return stmts
}
