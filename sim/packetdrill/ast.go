package packetdrill

import "time"

// Script is a parsed packet script. It is immutable: it may be run any number
// of times, also at once.
type Script struct {
	name   string
	src    string // as given, before substitution
	opts   []option
	events []event
}

// Name is the name given to Parse.
func (s *Script) Name() string { return s.name }

// option is a --name=value at the top of a script.
type option struct {
	pos         position
	name, value string
}

// event is one line of a script: a time and what happens then.
type event struct {
	pos  position
	text string // source of the event, white space squeezed
	when timeSpec
	act  action
}

// action is *packetSpec, *callSpec, *commandSpec or *codeSpec.
type action interface{ isAction() }

func (*packetSpec) isAction()  {}
func (*callSpec) isAction()    {}
func (*commandSpec) isAction() {}
func (*codeSpec) isAction()    {}

type timeKind uint8

const (
	timeRelative timeKind = iota // +0.1: since the previous event
	timeAbsolute                 // 0.1: since the start
	timeAny                      // *
)

// timeSpec is when an event happens. Without a range, to equals from.
type timeSpec struct {
	kind     timeKind
	from, to time.Duration
	blocking bool          // "a...b": the call starts at a and ends at b
	end      time.Duration // b, with the same origin as from
}

// commandSpec is a shell command in backticks.
type commandSpec struct{ text string }

// codeSpec is a %{ }% block.
type codeSpec struct {
	pos   position // of the text, for messages about its lines
	stmts []pyStmt
}

// callSpec is a system call and the result expected of it.
type callSpec struct {
	name   string
	args   []expr
	any    bool   // "= ?"
	result expr   // else
	errno  string // with result -1
}

// exprKind tells the forms of expressions apart.
type exprKind uint8

const (
	exprEllipsis exprKind = iota // ...
	exprInt
	exprString
	exprName   // a constant
	exprBinary // op, list[0], list[1]
	exprUnary  // op, list[0]
	exprList   // [a, b]
	exprStruct // {name=value, value}
	exprCall   // htons(8080): name, list
)

// expr is an argument of a system call.
type expr struct {
	pos    position
	kind   exprKind
	num    int64
	text   string // string, name or operator
	list   []expr
	fields []field
}

// field is a member of a struct; name is empty when it is given by position.
type field struct {
	name  string
	value expr
}

// ecnCheck says which ECN codepoints a packet may have; inbound packets carry
// the one named.
type ecnCheck uint8

const (
	ecnUnchecked ecnCheck = iota
	ecnNone               // [noecn]
	ecnECT0
	ecnECT1
	ecnCE
	ecnECT01 // either, outbound only
)

// ipSpec is what a script says of the IP header.
type ipSpec struct {
	ecn     ecnCheck
	tos     int // -1: not said
	ttl     int // -1: not said
	flow    int // -1: not said
	df      int // -1: not said, 0, 1
	id      int // -1: not said
	frag    bool
	fragLo  int // bytes of the IP payload
	fragHi  int
	portSrc int // -1: not said
	portDst int
}

type protocol uint8

const (
	protoICMP   protocol = 1
	protoTCP    protocol = 6
	protoUDP    protocol = 17
	protoICMPv6 protocol = 58
)

// packetSpec is a packet of a script.
type packetSpec struct {
	pos     position
	inbound bool
	ip      ipSpec
	proto   protocol
	tcp     tcpSpec
	udpLen  int
	icmp    icmpSpec
}

// seqSpec is start:end(len).
type seqSpec struct {
	start, end uint32
	length     int
}

type tcpSpec struct {
	flags   tcpFlags
	seq     seqSpec
	ack     uint32
	ackAny  bool // outbound: "ack *"
	win     int  // -1: not said
	urg     int  // -1: not said
	opts    []tcpOption
	optsAny bool // <...>
}

type icmpSpec struct {
	typ, code uint8
	codeAny   bool // outbound, not said
	mtu       int64
	id, seq   int // echo; -1: not said
	length    int // echo: bytes of data
	quoteTCP  bool
	quoteUDP  bool
	quoteSeq  seqSpec // quoteTCP
	quoteLen  int     // quoteUDP
}
