package packetdrill

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// pyValue is a value of the code in a script: an integer, a float, a string
// or a tuple, told apart by kind. Booleans are integers, as in Python.
type pyValue struct {
	kind byte // 'i', 'f', 's', 't', 'n' (None)
	i    int64
	f    float64
	s    string
	t    []pyValue
}

func pyInt(n int64) pyValue     { return pyValue{kind: 'i', i: n} }
func pyFloat(f float64) pyValue { return pyValue{kind: 'f', f: f} }

func pyBool(b bool) pyValue {
	if b {
		return pyInt(1)
	}
	return pyInt(0)
}

func (v pyValue) float() float64 {
	if v.kind == 'i' {
		return float64(v.i)
	}
	return v.f
}

func (v pyValue) number() bool { return v.kind == 'i' || v.kind == 'f' }

func (v pyValue) truth() bool {
	switch v.kind {
	case 'i':
		return v.i != 0
	case 'f':
		return v.f != 0
	case 's':
		return v.s != ""
	}
	return len(v.t) > 0
}

func (v pyValue) String() string {
	switch v.kind {
	case 'i':
		return strconv.FormatInt(v.i, 10)
	case 'f':
		return strconv.FormatFloat(v.f, 'g', -1, 64)
	case 's':
		return v.s
	case 'n':
		return "None"
	}
	parts := make([]string, len(v.t))
	for i, e := range v.t {
		parts[i] = e.String()
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// pyScope is where names get their values: the variables of the script, which
// live as long as it runs, then the snapshot at the time of the block.
type pyScope struct {
	vars         map[string]pyValue
	info         map[string]int64
	funcs        map[string]pyStmt  // that the script has defined
	local        map[string]pyValue // of the function under way; nil outside of any
	steps, calls int
	used         []string // names of the snapshot that were read, in order
}

// run executes statements; the error says which failed and with which values.
func (sc *pyScope) run(stmts []pyStmt) (err error) {
	defer func() {
		if r := recover(); r != nil {
			pe, ok := r.(*pyError)
			if !ok {
				panic(r)
			}
			err = pe
		}
	}()
	if sc.funcs == nil {
		sc.funcs = map[string]pyStmt{}
	}
	sc.runBlock(stmts)
	return nil
}

func (sc *pyScope) exec(st pyStmt) {
	v := sc.eval(st.value, st.line)
	switch st.kind {
	case pyAssign:
		if st.op != "" {
			v = sc.binary(st.op, sc.name(st.target, st.line), v, st.line)
		}
		sc.set(st.target, v, st.line)
	case pyAssert:
		if v.truth() {
			return
		}
		msg := st.text + " does not hold"
		if st.message != nil {
			msg += ": " + sc.eval(*st.message, st.line).String()
		}
		for i, name := range sc.used {
			if i == 0 {
				msg += " (with "
			} else {
				msg += ", "
			}
			msg += fmt.Sprintf("%s = %d", name, sc.info[name])
		}
		if len(sc.used) > 0 {
			msg += ")"
		}
		panic(&pyError{st.line, 1, msg})
	}
}

func pyFail(line int, format string, args ...any) {
	panic(&pyError{line, 1, fmt.Sprintf(format, args...)})
}

func (sc *pyScope) name(name string, line int) pyValue {
	if v, ok := sc.local[name]; ok {
		return v
	}
	if v, ok := sc.vars[name]; ok {
		return v
	}
	if n, ok := sc.info[name]; ok {
		sc.used = append(sc.used, name)
		return pyInt(n)
	}
	switch name {
	case "True":
		return pyInt(1)
	case "False":
		return pyInt(0)
	case "None":
		return pyValue{kind: 'n'}
	}
	if n, ok := constantByName(name); ok {
		return pyInt(n)
	}
	pyFail(line, "name %s is not defined", name)
	panic("unreachable")
}

func (sc *pyScope) eval(e pyExpr, line int) pyValue {
	switch e.op {
	case "num":
		return e.num
	case "str":
		return pyValue{kind: 's', s: e.text}
	case "name":
		return sc.name(e.text, line)
	case "tuple":
		return pyValue{kind: 't', t: sc.list(e.args, line)}
	case "call":
		return sc.call(e, line)
	case "cmp":
		return sc.compare(e, line)
	case "if":
		if sc.eval(e.args[0], line).truth() {
			return sc.eval(e.args[1], line)
		}
		return sc.eval(e.args[2], line)
	case "not":
		return pyBool(!sc.eval(e.args[0], line).truth())
	case "and", "or":
		v := sc.eval(e.args[0], line)
		if v.truth() == (e.op == "or") {
			return v
		}
		return sc.eval(e.args[1], line)
	case "unary-", "unary+", "unary~":
		return pyUnary(e.op, sc.eval(e.args[0], line), line)
	}
	return sc.binary(e.op, sc.eval(e.args[0], line), sc.eval(e.args[1], line), line)
}

func (sc *pyScope) list(args []pyExpr, line int) []pyValue {
	list := make([]pyValue, len(args))
	for i, a := range args {
		list[i] = sc.eval(a, line)
	}
	return list
}

func pyUnary(op string, v pyValue, line int) pyValue {
	switch {
	case op == "unary+" && v.number():
		return v
	case op == "unary-" && v.kind == 'i':
		return pyInt(-v.i)
	case op == "unary-" && v.kind == 'f':
		return pyFloat(-v.f)
	case op == "unary~" && v.kind == 'i':
		return pyInt(^v.i)
	}
	pyFail(line, "%s has no operand %s", op[len("unary"):], v)
	panic("unreachable")
}

func (sc *pyScope) compare(e pyExpr, line int) pyValue {
	left := sc.eval(e.args[0], line)
	for i, op := range e.cmps {
		right := sc.eval(e.args[i+1], line)
		if !pyCompare(op, left, right, line) {
			return pyInt(0)
		}
		left = right
	}
	return pyInt(1)
}

func pyEqual(a, b pyValue) bool {
	switch {
	case a.kind == 'i' && b.kind == 'i':
		return a.i == b.i
	case a.number() && b.number():
		return a.float() == b.float()
	case a.kind != b.kind:
		return false
	case a.kind == 's':
		return a.s == b.s
	case len(a.t) != len(b.t):
		return false
	}
	for i := range a.t {
		if !pyEqual(a.t[i], b.t[i]) {
			return false
		}
	}
	return true
}

func pyCompare(op string, a, b pyValue, line int) bool {
	switch op {
	case "==", "is":
		return pyEqual(a, b)
	case "!=", "is not":
		return !pyEqual(a, b)
	case "in", "not in":
		return pyContains(a, b, line) == (op == "in")
	}
	var order int
	switch {
	case a.kind == 'i' && b.kind == 'i':
		order = compareOrdered(a.i, b.i)
	case a.number() && b.number():
		order = compareOrdered(a.float(), b.float())
	case a.kind == 's' && b.kind == 's':
		order = strings.Compare(a.s, b.s)
	default:
		pyFail(line, "cannot compare %s %s %s", a, op, b)
	}
	switch op {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func compareOrdered[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func pyContains(a, b pyValue, line int) bool {
	if a.kind == 's' && b.kind == 's' {
		return strings.Contains(b.s, a.s)
	}
	if b.kind != 't' {
		pyFail(line, "%s contains nothing", b)
	}
	for _, v := range b.t {
		if pyEqual(a, v) {
			return true
		}
	}
	return false
}

func (sc *pyScope) binary(op string, a, b pyValue, line int) pyValue {
	switch {
	case a.kind == 'i' && b.kind == 'i':
		return pyIntOp(op, a.i, b.i, line)
	case a.number() && b.number():
		return pyFloatOp(op, a.float(), b.float(), line)
	case a.kind == 's' && b.kind == 's' && op == "+" && len(a.s)+len(b.s) < maxExpanded:
		return pyValue{kind: 's', s: a.s + b.s}
	case a.kind == 's' && op == "%" && len(a.s) < maxExpanded: // formatting, in messages
		return pyValue{kind: 's', s: a.s + " % " + b.String()[:min(len(b.String()), 1000)]}
	}
	pyFail(line, "%s has no operands %s and %s", op, a, b)
	panic("unreachable")
}

func pyIntOp(op string, a, b int64, line int) pyValue {
	switch op {
	case "+":
		return pyInt(a + b)
	case "-":
		return pyInt(a - b)
	case "*":
		return pyInt(a * b)
	case "&":
		return pyInt(a & b)
	case "|":
		return pyInt(a | b)
	case "^":
		return pyInt(a ^ b)
	case "<<", ">>":
		if b < 0 {
			pyFail(line, "negative shift count")
		}
		if op == "<<" {
			return pyInt(a << b)
		}
		return pyInt(a >> b)
	case "//", "%":
		if b == 0 {
			pyFail(line, "division by zero")
		}
		q, m := a/b, a%b
		if m != 0 && (m < 0) != (b < 0) { // Python rounds down
			q, m = q-1, m+b
		}
		if op == "%" {
			return pyInt(m)
		}
		return pyInt(q)
	case "**":
		if b >= 0 {
			if f := math.Pow(float64(a), float64(b)); math.Abs(f) < 1<<53 {
				return pyInt(int64(f))
			}
		}
	}
	return pyFloatOp(op, float64(a), float64(b), line)
}

func pyFloatOp(op string, a, b float64, line int) pyValue {
	if b == 0 && (op == "/" || op == "//" || op == "%") {
		pyFail(line, "division by zero")
	}
	switch op {
	case "+":
		return pyFloat(a + b)
	case "-":
		return pyFloat(a - b)
	case "*":
		return pyFloat(a * b)
	case "/":
		return pyFloat(a / b)
	case "//":
		return pyFloat(math.Floor(a / b))
	case "%":
		return pyFloat(a - b*math.Floor(a/b))
	case "**":
		return pyFloat(math.Pow(a, b))
	}
	pyFail(line, "%s has no operands %g and %g", op, a, b)
	panic("unreachable")
}

// call evaluates the few functions of Python that assertions use.
func (sc *pyScope) call(e pyExpr, line int) pyValue {
	args := sc.list(e.args, line)
	if e.text == "print" {
		return pyValue{kind: 'n'}
	}
	if f, ok := sc.funcs[e.text]; ok {
		return sc.invoke(f, args, line)
	}
	if e.text == "len" && len(args) == 1 && (args[0].kind == 't' || args[0].kind == 's') {
		return pyInt(int64(len(args[0].t) + len(args[0].s)))
	}
	if (e.text == "list" || e.text == "tuple") && len(args) == 1 {
		return pyValue{kind: 't', t: sc.items(args[0], line)}
	}
	if e.text == "str" && len(args) == 1 {
		return pyValue{kind: 's', s: args[0].String()}
	}
	for _, a := range args {
		if !a.number() {
			pyFail(line, "%s takes numbers", e.text)
		}
	}
	if e.text == "range" {
		return pyRange(args, line)
	}
	if (e.text == "min" || e.text == "max") && len(args) > 0 {
		best := args[0]
		for _, a := range args[1:] {
			if (a.float() < best.float()) == (e.text == "min") {
				best = a
			}
		}
		return best
	}
	if len(args) != 1 {
		pyFail(line, "cannot call %s with %d arguments", e.text, len(args))
	}
	return pyNumberCall(e.text, args[0], line)
}

func pyNumberCall(name string, a pyValue, line int) pyValue {
	switch name {
	case "abs":
		if a.kind == 'i' {
			return pyInt(max(a.i, -a.i))
		}
		return pyFloat(math.Abs(a.f))
	case "int":
		if a.kind == 'i' {
			return a
		}
		if math.Abs(a.f) < math.MaxInt64 {
			return pyInt(int64(a.f))
		}
	case "round":
		return pyInt(int64(math.RoundToEven(a.float())))
	case "float":
		return pyFloat(a.float())
	case "bool":
		return pyBool(a.truth())
	}
	pyFail(line, "cannot call %s(%s)", name, a)
	panic("unreachable")
}
