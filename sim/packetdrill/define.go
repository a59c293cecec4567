package packetdrill

import "strings"

// maxExpanded bounds a script after substitution, against definitions that
// multiply.
const maxExpanded = 16 << 20

// expand replaces $NAME and ${NAME} by their definitions. Names that are not
// defined stay: they may belong to a command's shell. Substitution never adds
// or removes a line end, so that messages name the right line.
func expand(src string, defines map[string]string) string {
	if len(defines) == 0 || !strings.Contains(src, "$") {
		return src
	}
	var b strings.Builder
	for i := 0; i < len(src); {
		name, n := dollarName(src[i:])
		value, ok := defines[name]
		if n == 0 || !ok || b.Len()+len(value) > maxExpanded {
			b.WriteByte(src[i])
			i++
			continue
		}
		b.WriteString(strings.ReplaceAll(value, "\n", " "))
		i += n
	}
	return b.String()
}

// dollarName reads $NAME or ${NAME} at the start of s; n is 0 if there is none.
func dollarName(s string) (name string, n int) {
	if len(s) < 2 || s[0] != '$' {
		return "", 0
	}
	start, closing := 1, 0
	if s[1] == '{' {
		start, closing = 2, 1
	}
	end := start
	for end < len(s) && (isLetter(s[end]) || isDigit(s[end])) {
		end++
	}
	if end == start || closing == 1 && (end >= len(s) || s[end] != '}') {
		return "", 0
	}
	return s[start:end], end + closing
}
