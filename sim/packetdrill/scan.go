package packetdrill

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A SyntaxError is what Parse finds wrong in a script.
type SyntaxError struct {
	File      string
	Line, Col int // from 1; Col counts bytes
	Msg       string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
}

// position is a place in a script.
type position struct {
	line, col int
}

// scanner reads a script character by character. The language is too
// dependent on context for a token stream ("." is a flag, a decimal point, or
// a third of an ellipsis), so the parser asks for what it expects next.
// Errors travel by panic(*SyntaxError) up to Parse.
type scanner struct {
	file    string
	src     string
	off     int
	line    int // line of off
	bol     int // offset of the beginning of that line
	defines map[string]string
	depth   int // of nested expressions
}

// maxDepth bounds the nesting of expressions, so that no script exhausts the
// stack.
const maxDepth = 100

func (s *scanner) pos() position {
	return position{s.line, s.off - s.bol + 1}
}

func (s *scanner) fail(at position, format string, args ...any) {
	panic(&SyntaxError{s.file, at.line, at.col, fmt.Sprintf(format, args...)})
}

func (s *scanner) eof() bool { return s.off >= len(s.src) }

// peek gives the next byte, 0 at the end.
func (s *scanner) peek() byte { return s.at(0) }

func (s *scanner) at(i int) byte {
	if s.off+i >= len(s.src) {
		return 0
	}
	return s.src[s.off+i]
}

// advance consumes n bytes, keeping count of lines.
func (s *scanner) advance(n int) {
	for ; n > 0 && !s.eof(); n-- {
		if s.src[s.off] == '\n' {
			s.line++
			s.bol = s.off + 1
		}
		s.off++
	}
}

// space skips blanks, line ends and comments (C, C++ and shell style).
func (s *scanner) space() {
	for !s.eof() {
		switch c := s.peek(); {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f':
			s.advance(1)
		case c == '#', c == '/' && s.at(1) == '/':
			s.advance(max(strings.IndexByte(s.src[s.off:]+"\n", '\n'), 1))
		case c == '/' && s.at(1) == '*':
			end := strings.Index(s.src[s.off+2:], "*/")
			if end < 0 {
				s.fail(s.pos(), "comment is not closed")
			}
			s.advance(end + 4)
		default:
			return
		}
	}
}

// has tells, after blanks, whether the text comes next.
func (s *scanner) has(text string) bool {
	s.space()
	return strings.HasPrefix(s.src[s.off:], text)
}

// accept consumes the text if it comes next.
func (s *scanner) accept(text string) bool {
	if !s.has(text) {
		return false
	}
	s.advance(len(text))
	return true
}

func (s *scanner) expect(text string) {
	if !s.accept(text) {
		s.fail(s.pos(), "expected %q, found %s", text, s.found())
	}
}

// found describes what comes next, for messages.
func (s *scanner) found() string {
	if s.eof() {
		return "the end of the script"
	}
	rest := s.src[s.off:]
	if n := len(s.peekWord()); n > 0 {
		return strconv.Quote(rest[:min(n, 32)])
	}
	return strconv.Quote(rest[:1])
}

func isLetter(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// peekWord gives the letters, digits and underscores that come next.
func (s *scanner) peekWord() string {
	i := s.off
	for i < len(s.src) && (isLetter(s.src[i]) || isDigit(s.src[i])) {
		i++
	}
	return s.src[s.off:i]
}

// keyword consumes the given whole word if it comes next.
func (s *scanner) keyword(word string) bool {
	s.space()
	if s.peekWord() != word {
		return false
	}
	s.advance(len(word))
	return true
}

// word consumes an identifier; what names what is missing.
func (s *scanner) word(what string) string {
	s.space()
	w := s.peekWord()
	if w == "" || !isLetter(w[0]) {
		s.fail(s.pos(), "expected %s, found %s", what, s.found())
	}
	s.advance(len(w))
	return w
}

// integer consumes an unsigned number: decimal, or hexadecimal with 0x.
func (s *scanner) integer(what string, limit uint64) uint64 {
	s.space()
	at := s.pos()
	w := s.peekWord()
	value, defined := s.defines[w]
	if !defined {
		value = w
	}
	if value == "" || !isDigit(value[0]) {
		s.fail(at, "expected %s, found %s", what, s.found())
	}
	base, digits := 10, value
	if strings.HasPrefix(value, "0x") || strings.HasPrefix(value, "0X") {
		base, digits = 16, value[2:]
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err != nil {
		s.fail(at, "%s is no number for %s", strconv.Quote(w), what)
	}
	if n > limit {
		s.fail(at, "%s %s is greater than %d", what, w, limit)
	}
	s.advance(len(w))
	return n
}

// maxSeconds bounds the times of a script (32 years).
const maxSeconds = 1e9

// seconds consumes a time in seconds with an optional fraction. It leaves an
// ellipsis alone: "0...0.2" is 0, an ellipsis and 0.2.
func (s *scanner) seconds() time.Duration {
	s.space()
	at := s.pos()
	i := s.off
	for i < len(s.src) && isDigit(s.src[i]) {
		i++
	}
	if i+1 < len(s.src) && s.src[i] == '.' && isDigit(s.src[i+1]) {
		for i++; i < len(s.src) && isDigit(s.src[i]); i++ {
		}
	}
	text := s.src[s.off:i]
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		s.fail(at, "expected a time in seconds, found %s", s.found())
	}
	if f > maxSeconds {
		s.fail(at, "time %s is greater than %g seconds", text, float64(maxSeconds))
	}
	s.advance(len(text))
	return time.Duration(f*1e9 + 0.5)
}

// quoted consumes a string in double quotes with the escapes of C.
func (s *scanner) quoted() string {
	at := s.pos()
	s.expect(`"`)
	var b strings.Builder
	for {
		c := s.peek()
		switch {
		case s.eof() || c == '\n':
			s.fail(at, "string is not closed")
		case c == '"':
			s.advance(1)
			return b.String()
		case c == '\\':
			v, _, tail, err := strconv.UnquoteChar(s.src[s.off:], '"')
			if err != nil || v > 0xff {
				s.fail(s.pos(), "bad escape in string")
			}
			b.WriteByte(byte(v))
			s.advance(len(s.src) - s.off - len(tail))
		default:
			b.WriteByte(c)
			s.advance(1)
		}
	}
}

// until consumes everything up to the closing text, and the closing text.
func (s *scanner) until(closing, what string) string {
	at := s.pos()
	i := strings.Index(s.src[s.off:], closing)
	if i < 0 {
		s.fail(at, "%s is not closed", what)
	}
	text := s.src[s.off : s.off+i]
	s.advance(i + len(closing))
	return text
}
