package packetdrill

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runPython runs code over a small snapshot.
func runPython(code string) error {
	stmts, err := parsePython(code)
	if err != nil {
		return err
	}
	sc := &pyScope{vars: map[string]pyValue{}, info: map[string]int64{"tcpi_rtt": 30000, "tcpi_options": 7, "tcpi_ca_state": 3, "tcpi_zero": 0}}
	return sc.run(stmts)
}

func TestAssertsThatHold(t *testing.T) {
	for _, expr := range []string{
		"1", "True", "not False", "not not 1", "not not not 0", "not None", "tcpi_rtt == 30000", "tcpi_ca_state == TCP_CA_Recovery",
		"tcpi_options & TCPI_OPT_SACK", "(tcpi_options & TCPI_OPT_ECN) == 0", "tcpi_rtt > 1 and tcpi_rtt < 40000", "0 or tcpi_rtt", "1 < 2 < 3", "not 1 < 2 > 3",
		"3 - 1 - 1 == 1", "2 + 3 * 4 == 14", "(2 + 3) * 4 == 20", "7 / 2 == 3.5", "7 // 2 == 3", "-7 // 2 == -4", "-7 % 3 == 2", "7 % -3 == -2", "7.5 // 2 == 3", "7.5 % 2 == 1.5",
		"2 ** 10 == 1024", "2 ** -1 == 0.5", "2.0 ** 3 == 8", "1 << 4 == 16", "255 >> 4 == 15", "6 ^ 3 == 5", "6 | 1 == 7", "~0 == -1", "+5 == 5", "-5 < 0", "-2.5 + 2.5 == 0", "0x10 == 16", "1e3 == 1000",
		"abs(-3) == 3", "abs(-2.5) == 2.5", "min(3, 1, 2) == 1", "max(3, 1, 2) == 3", "int(3.9) == 3", "int(4) == 4", "float(3) == 3", "round(2.5) == 2", "bool(7) == 1", "str(5) == '5'",
		"'a' + 'b' == \"ab\"", "'a' in 'cat'", "'x' not in 'cat'", "3 in (1, 2, 3)", "4 not in [1, 2, 3]", "3 in [3,]", "'a' < 'b'", "1 if 1 else 0", "0 if 0 else 1", "(1, 2) == (1, 2)", "(1, 2) != (1, 3)", "() == ()", "(1, 2) != (1,)",
		"1 is 1", "1 is not 2", "1 != 'a'", "None == None", "ECONNRESET == 104", "0.5 < 1", "2.5 - 0.5 == 2.0", "3.0 * 2 == 6", "10L == 10", ".5 == 0.5", "'it\\'s' != ''", "not ''", "not ()",
	} {
		t.Run(expr, func(t *testing.T) {
			require.NoError(t, runPython("assert "+expr))
			require.ErrorContains(t, runPython("assert not ("+expr+")"), "does not hold")
		})
	}
}

func TestPythonStatements(t *testing.T) {
	require.NoError(t, runPython("import sys\nfrom math import *\n\n# comment\nx = 3; y = x * 2\ny += 1\ny -= 2; y *= 4; y //= 3\nassert y == 6, 'message'\nprint(x, y)\nprint 'old', x\nprint\npass\n"+
		"assert (x == 3 and\n  y == 6)\nassert x \\\n == 3\nassert x == 3, f'{x}'\nx\nz = 1, 2\nassert z == (1, 2)\nassert x == 3, 'x is %d' % x"))
}

func TestPythonFlow(t *testing.T) {
	const code = `
def check(a, b):
    if a != b:
        raise Exception("differs")
    elif a == 99:
        return 5
    else:
        x = a + 1
        pass
    return a

def nothing(): pass

x = total = 0
for i in [1, 2, 3]:
    total += check(i, i)
    if i == 2: continue
    x += 1
for a, b in ((1, 2), (3, 4)): total += b; x += 10
n = 0
while True:
    n += 1
    if n > 5:
        break
for c in "ab":
    n += 1
for i in range(10, 0, -3):
    n += i
`
	require.NoError(t, runPython(strings.Replace(code, "x = total = 0", "x = 0; total = 0", 1)+
		"assert (total, x, n) == (12, 22, 30), (total, x, n)\nassert check(99, 99) == 5\nassert nothing() == None\nassert len(list('abc')) == len((1, 2, 3))\n"+
		"if tcpi_rtt < 0: assert False\nelse: n = 7\nassert n == 7"))
	for bad, want := range map[string]string{
		"def f(): return 1\nf(2)": "takes 0 arguments", "def f(): f()\nf()": "too deeply", "while 1: pass": "does not come to an end",
		"for x in 5: pass": "cannot go through 5", "for a, b in [1]: pass": "cannot unpack", "raise Exception('x')": "1:1: raise Exception('x')",
		"x = 'a'\nwhile 1: x += x": "too large", "x = 1\nwhile 1: x = (x, x)": "too large", "range(0, 1, 0)": "not 0", "for x in range(1000000): pass": "too long",
		"if 1:\n  x = 2\n  assert x == 3": "3:1: assert x == 3 does not hold", "def 3(): pass": "expected a name", "else: x": "else is not supported",
		"if 1 x": "expected \":\"", "x = " + strings.Repeat("if 1: ", 200): "expected a value", strings.Repeat("if 1: ", 200) + "x": "nested too deeply",
	} {
		require.ErrorContains(t, runPython(bad), want, bad)
	}
}

func TestPythonErrors(t *testing.T) {
	tests := []struct{ code, want string }{
		{"assert tcpi_rtt == 1, (tcpi_rtt, 'b', 2.5, None)", "1:1: assert tcpi_rtt == 1, (tcpi_rtt, 'b', 2.5, None) does not hold: (30000, b, 2.5, None) (with tcpi_rtt = 30000, tcpi_rtt = 30000)"},
		{"\n\nassert tcpi_rtt - tcpi_options < 0", "3:1: assert tcpi_rtt - tcpi_options < 0 does not hold (with tcpi_rtt = 30000, tcpi_options = 7)"},
		{"x = 1\nassert x == 2, 'x is %d' % x", "2:1: assert x == 2, 'x is %d' % x does not hold: x is %d % 1"},
		{"assert foo", "name foo is not defined"},
		{"assert 1/0", "division by zero"}, {"assert 1//0", "division by zero"}, {"assert 1.5%0", "division by zero"},
		{"assert 1 << -1", "negative shift"}, {"assert 1.5 << 1", "has no operands"}, {"assert 'a' - 1", "- has no operands a and 1"},
		{"assert 'a' < 1", "cannot compare"}, {"assert 1 in 2", "contains nothing"}, {"assert -'a'", "- has no operand a"}, {"assert ~1.5", "~ has no operand"},
		{"assert foo(1)", "cannot call foo"}, {"assert abs(1, 2)", "cannot call abs with 2"}, {"assert abs('a')", "abs takes numbers"}, {"assert int(1e300)", "cannot call int"},
		{"assert", "1:7: expected a value"}, {"assert (1", "expected \")\""}, {"try: y", "1:1: try is not supported"}, {"with y: z", "with is not supported"},
		{"x = 1 2", "expected the end of the statement, found \"2\""}, {"assert 1 not 2", "expected \"in\""}, {"assert 1 == not 2", "unexpected not"}, {"assert 1 if 2", "expected \"else\""},
		{"x = 'abc", "unexpected"}, {"x = 1.2.3", "1.2.3 is no number"}, {"x = $", "unexpected '$'"}, {"x = " + strings.Repeat("(", 200), "nested too deeply"}, {"x = " + strings.Repeat("-", 200), "nested too deeply"},
		{strings.Repeat("1;", maxTokens), "too long"}, {"assert and", "expected a value"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			require.ErrorContains(t, runPython(tt.code), tt.want)
		})
	}
}

func FuzzPython(f *testing.F) {
	f.Add("assert tcpi_rtt == 1, (tcpi_rtt, 'b')")
	f.Add("x = 1\ny += x ** 2 if not x else -3.5 # c\nassert x in [1, 2]; print 'a'")
	f.Fuzz(func(t *testing.T, code string) {
		_ = runPython(code) // must neither panic nor hang
	})
}
