package tcp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The TCP requirement summary of RFC 9293, Appendix B. Each requirement names the tests that show it, "Test…" or
// "Test…/subtest" for recordings of the kernel, "sim.TestRFC9293/…" for what TCP and IP do together at the wire, or
// says why there is none: "not here: …" for what is the application's, "not offered: …", "we differ: …".
var requirements = []struct {
	id, what string
	shown    []string
	reason   string
}{
	// PUSH flag
	{"MAY-16", "aggregate or queue un-pushed data", []string{"TestCork"}, ""},
	{"SHLD-27", "sender collapse successive PSH bits", []string{"TestKernelTraces/nagle", "TestNagle"}, ""},
	{"MAY-15", "SEND call can specify PUSH", []string{"TestCork"}, ""},
	{"MUST-60", "if cannot: sender buffer indefinitely (must not)", []string{"TestPush"}, ""},
	{"MUST-61", "if cannot: PSH last segment", []string{"TestPush", "TestKernelTraces/iw10"}, ""},
	{"MAY-17", "notify receiving ALP of PSH", nil, "not offered: text is readable at once, pushed or not"},
	{"SHLD-28", "send max size segment when possible", []string{"TestPush", "TestKernelTraces/mtu16436"}, ""},
	// Window
	{"MUST-1", "treat as unsigned number", []string{"TestWindowIsUnsigned"}, ""},
	{"REC-1", "handle as 32-bit number", []string{"TestReceiveAutotuning"}, ""},
	{"SHLD-14", "shrink window from right (should not)", []string{"TestSillyWindowReceiver", "TestRandomSegments"}, ""},
	{"SHLD-15", "send new data when window shrinks (should not)", []string{"TestShrinkingWindow"}, ""},
	{"SHLD-16", "retransmit old unacked data within window", []string{"TestShrinkingWindow", "TestKernelTraces/winshrink"}, ""},
	{"SHLD-17", "time out conn for data past right edge (should not)", []string{"TestShrinkingWindow"}, ""},
	{"MUST-34", "robust against shrinking window", []string{"TestShrinkingWindow", "TestKernelTraces/winshrink"}, ""},
	{"MAY-8", "receiver's window closed indefinitely", []string{"TestZeroWindow"}, ""},
	{"MUST-35", "use standard probing logic", []string{"TestZeroWindow"}, ""},
	{"MUST-36", "sender probe zero window", []string{"TestZeroWindow", "TestKernelTraces/zerowin"}, ""},
	{"SHLD-29", "first probe after RTO", []string{"TestZeroWindow"}, ""},
	{"SHLD-30", "exponential backoff", []string{"TestZeroWindow"}, ""},
	{"MUST-37", "allow window stay zero indefinitely", []string{"TestZeroWindow"}, ""},
	{"MAY-7", "retransmit old data beyond SND.UNA+SND.WND", nil, "not offered: we stay inside of the window (SHLD-16)"},
	{"MUST-66", "process RST and URG even with zero window", []string{"TestUrgentZeroWindow"}, ""},
	// Urgent data
	{"MUST-30", "include support for urgent pointer", []string{"TestUrgent"}, ""},
	{"MUST-62", "pointer indicates first non-urgent octet", []string{"TestUrgent"}, ""},
	{"MUST-31", "arbitrary length urgent data sequence", []string{"TestUrgent"}, ""},
	{"MUST-32", "inform ALP asynchronously of urgent data", []string{"TestUrgent"}, ""},
	{"MUST-33", "ALP can learn if/how much urgent data queued", []string{"TestUrgent"}, ""},
	{"SHLD-13", "ALP employ the urgent mechanism (should not)", nil, "not here: the application's"},
	// TCP options
	{"MUST-4", "support the mandatory option set", []string{"TestParseOptions"}, ""},
	{"MUST-5", "receive TCP option in any segment", []string{"TestParseOptions"}, ""},
	{"MUST-6", "ignore unsupported options", []string{"TestParseOptions"}, ""},
	{"MUST-68", "include length for all options except EOL and NOP", []string{"TestParseOptions"}, ""},
	{"MUST-7", "cope with illegal option length", []string{"TestParseOptions"}, ""},
	{"MUST-64", "process options regardless of word alignment", []string{"TestParseOptions"}, ""},
	{"MUST-14", "implement sending and receiving MSS option", []string{"TestSYNOptions", "TestSendMSS"}, ""},
	{"SHLD-5", "send MSS option unless 536 or 1220", []string{"TestSYNOptions"}, ""},
	{"MAY-3", "send MSS option always", []string{"TestSYNOptions", "TestSYNACKOptions"}, ""},
	{"MUST-15", "send-MSS default is 536, 1220 for IPv6", []string{"TestSendMSS"}, ""},
	{"MUST-16", "calculate effective send segment size", []string{"TestSendMSS", "TestSACKBlocksTakeRoom"}, ""},
	{"SHLD-6", "MSS accounts for varying MTU", []string{"TestPathMTU"}, ""},
	{"MUST-65", "MSS not sent on non-SYN segments", []string{"TestNoMSSOutsideSYN"}, ""},
	{"MUST-67", "MSS value based on MMS_R", []string{"TestSYNOptions"}, ""},
	{"MUST-69", "pad with zero", []string{"TestMarshalHeaderBytes"}, ""},
	// Checksums
	{"MUST-2", "sender compute checksum", []string{"sim.TestRFC9293/MUST-2"}, ""},
	{"MUST-3", "receiver check checksum", []string{"sim.TestRFC9293/MUST-3"}, ""},
	// ISN selection
	{"MUST-8", "include a clock-driven ISN generator component", []string{"TestISN"}, ""},
	{"SHLD-1", "secure ISN generator with a PRF component", []string{"TestISN"}, ""},
	{"MUST-9", "PRF computable from outside the host (must not)", []string{"TestISN"}, ""},
	// Opening connections
	{"MUST-10", "support simultaneous open attempts", []string{"TestFigures", "TestSelfConnect", "TestKernelTraces/simopen"}, ""},
	{"MUST-11", "SYN-RECEIVED remembers last state", []string{"TestSynReceivedRemembers"}, ""},
	{"MUST-41", "passive OPEN call interfere with others (must not)", []string{"sim.TestRFC9293/MUST-41"}, ""},
	{"MUST-42", "simultaneously LISTENs for same port", []string{"sim.TestRFC9293/MUST-42"}, ""},
	{"MUST-44", "ask IP for source address for SYN if necessary", []string{"sim.TestRFC9293/MUST-44"}, ""},
	{"MUST-45", "otherwise, use local address of connection", []string{"sim.TestRFC9293/MUST-45"}, ""},
	{"MUST-46", "OPEN to broadcast/multicast IP address (must not)", []string{"sim.TestRFC9293/MUST-46"}, ""},
	{"MUST-57", "silently discard segment to broadcast/multicast address", []string{"sim.TestRFC9293/MUST-57"}, ""},
	// Closing connections
	{"SHLD-2", "RST can contain data", []string{"TestKernelTraces/rst-data-inwin"}, ""},
	{"MUST-12", "inform application of aborted connection", []string{"TestTellsOfAbort"}, ""},
	{"MAY-1", "half-duplex close connections", []string{"TestCloseWithUnreadData", "TestOrphans"}, ""},
	{"SHLD-3", "send RST to indicate data lost", []string{"TestCloseWithUnreadData", "TestOrphans"}, ""},
	{"MUST-13", "in TIME-WAIT state for 2MSL seconds", []string{"TestTimeWait", "TestFigures"}, ""},
	{"MAY-2", "accept SYN from TIME-WAIT state", []string{"TestTimeWait"}, ""},
	{"SHLD-4", "use timestamps to reduce TIME-WAIT", []string{"TestTimeWait"}, ""},
	// Retransmissions
	{"MUST-19", "implement exponential backoff, slow start, and congestion avoidance", []string{"TestBackoffAndSlowStart", "TestFastRetransmitSACK", "TestKernelTraces/iw10-reno"}, ""},
	{"MAY-4", "retransmit with same IP identity", nil, "not here: the owner writes the IP header"},
	{"MUST-18", "Karn's algorithm", []string{"TestKarn"}, ""},
	// Generating ACKs
	{"MUST-58", "aggregate whenever possible", []string{"TestAggregateAcks"}, ""},
	{"SHLD-31", "queue out-of-order segments", []string{"TestOutOfOrder", "TestReassembly"}, ""},
	{"MUST-59", "process all queued before send ACK", []string{"TestAggregateAcks"}, ""},
	{"MAY-13", "send ACK for out-of-order segment", []string{"TestOutOfOrder"}, ""},
	{"SHLD-18", "delayed ACKs", []string{"TestDelayedAck", "TestKernelTraces/pingpong"}, ""},
	{"MUST-40", "delay below 0.5 seconds", []string{"TestDelayedAck", "TestDelayedAckBound"}, ""},
	{"SHLD-19", "every second full-sized segment or 2*RMSS acknowledged", []string{"TestDelayedAck"}, ""},
	{"MUST-39", "receiver SWS-avoidance algorithm", []string{"TestSillyWindowReceiver"}, ""},
	// Sending data
	{"MUST-49", "configurable TTL", []string{"sim.TestRFC9293/MUST-49"}, ""},
	{"MUST-38", "sender SWS-avoidance algorithm", []string{"TestSillyWindowSender", "TestNagle", "TestKernelTraces/smallwin"}, ""},
	{"SHLD-7", "Nagle algorithm", []string{"TestNagle", "TestKernelTraces/nagle"}, ""},
	{"MUST-17", "application can disable Nagle algorithm", []string{"TestNagle"}, ""},
	// Connection failures
	{"MUST-20", "negative advice to IP on R1, close connection on R2 retransmissions", []string{"TestR1R2"}, ""},
	{"MUST-21", "ALP can set R2", []string{"TestUserTimeout"}, ""},
	{"SHLD-9", "inform ALP of R1 <= retransmissions < R2", nil, "not offered: Info shows Retransmits at any time"},
	{"SHLD-10", "recommended value for R1", []string{"TestR1R2"}, ""},
	{"SHLD-11", "recommended value for R2", []string{"TestR1R2"}, ""},
	{"MUST-22", "same mechanism for SYNs", []string{"TestConnectTimesOut", "TestSynRetriesAndLinearTimeouts"}, ""},
	{"MUST-23", "R2 at least 3 minutes for SYN", []string{"TestConnectTimesOut"}, "we differ: Linux's default is 127 s; tcp_syn_retries = 7 makes it 255 s"},
	// Keep-alive
	{"MAY-5", "send keep-alive packets", []string{"TestKeepAlive", "TestKernelTraces/keepalive"}, ""},
	{"MUST-24", "application can request", []string{"TestKeepAlive"}, ""},
	{"MUST-25", "default is off", []string{"TestKeepAlive"}, ""},
	{"MUST-26", "only send if idle for interval", []string{"TestKeepAlive"}, ""},
	{"MUST-27", "interval configurable", []string{"TestKeepAliveConfig"}, ""},
	{"MUST-28", "default at least 2 hours", []string{"TestKeepAlive"}, ""},
	{"MUST-29", "tolerant of lost ACKs", []string{"TestKeepAlive"}, ""},
	{"SHLD-12", "send with no data", []string{"TestKeepAlive"}, ""},
	{"MAY-6", "configurable to send garbage octet", nil, "not offered: it serves implementations of the 1980s"},
	// IP options
	{"MUST-50", "ignore options TCP doesn't understand", []string{"sim.TestRFC9293/MUST-50"}, ""},
	{"MAY-10", "timestamp support", nil, "not offered: the IP timestamp option"},
	{"MAY-11", "record route support", nil, "not offered: the IP record route option"},
	{"MUST-51", "source route: ALP can specify", nil, "not offered: IP source routes, which the internet drops (RFC 7126)"},
	{"MUST-52", "source route: overrides source route in datagram", nil, "not offered: IP source routes"},
	{"MUST-53", "source route: build return route from source route", nil, "not offered: IP source routes"},
	{"SHLD-24", "source route: later one overrides", nil, "not offered: IP source routes"},
	// ICMP
	{"MUST-54", "receiving ICMP messages from IP", []string{"TestICMPErrors", "TestPathMTU"}, ""},
	{"SHLD-25", "destination unreachable (0,1,5) => inform ALP", []string{"TestICMPErrors"}, ""},
	{"MUST-56", "abort on destination unreachable (0,1,5), time exceeded, parameter problem (must not)", []string{"TestICMPErrors"}, ""},
	{"SHLD-26", "destination unreachable (2-4) => abort connection", []string{"TestICMPErrors"}, "we differ: only while connecting, like Linux (RFC 5927 §5.2)"},
	{"MUST-55", "source quench => silent discard", []string{"TestICMPErrors"}, ""},
	// Address validation
	{"MUST-63", "reject SYN from invalid IP address", []string{"sim.TestRFC9293/MUST-63"}, ""},
	// TCP/ALP interface services
	{"MUST-47", "error report mechanism", []string{"TestICMPErrors", "TestTellsOfAbort"}, ""},
	{"SHLD-20", "ALP can disable error report routine", []string{"TestICMPErrors"}, "soft errors need not be asked for"},
	{"MUST-48", "ALP can specify Diffserv field for sending", []string{"sim.TestRFC9293/MUST-48"}, ""},
	{"SHLD-22", "passed unchanged to IP", []string{"sim.TestRFC9293/SHLD-22"}, ""},
	{"SHLD-21", "ALP can change Diffserv field during connection", []string{"sim.TestRFC9293/SHLD-21"}, ""},
	{"SHLD-23", "ALP generally changing Diffserv during connection (should not)", nil, "not here: the application's"},
	{"MAY-9", "pass received Diffserv field up to ALP", nil, "not here: the owner reads the IP header"},
	{"MAY-14", "FLUSH call", nil, "not offered"},
	{"MUST-43", "optional local IP address parameter in OPEN", []string{"sim.TestRFC9293/MUST-43"}, ""},
	// RFC 5961, ECN, congestion control
	{"MAY-12", "implement data injection protection", []string{"TestBlindData"}, ""},
	{"SHLD-8", "support ECN", []string{"TestECNSender", "TestECNReceiver", "TestKernelTraces/ecn-passive"}, ""},
	{"MAY-18", "implement alternative conformant algorithms", []string{"TestCongestionControlChoice"}, ""},
}

// sourceRoutes are the only requirements of a MUST that need no test: IP source routes are not offered.
var sourceRoutes = []string{"MUST-51", "MUST-52", "MUST-53"}

// TestAppendixB checks that no requirement is missing, that each is shown by tests that exist or has a reason, and
// that every MUST but those about IP source routes is shown.
func TestAppendixB(t *testing.T) {
	tests := existingTests(t)
	seen := map[string]bool{}
	for _, r := range requirements {
		require.False(t, seen[r.id], "%s is there twice", r.id)
		seen[r.id] = true
		require.True(t, len(r.shown) > 0 || r.reason != "", "%s (%s) has neither a test nor a reason", r.id, r.what)
		for _, name := range r.shown {
			require.True(t, tests[name], "%s: there is no %s", r.id, name)
		}
		if strings.HasPrefix(r.id, "MUST") && !slices.Contains(sourceRoutes, r.id) {
			require.NotEmpty(t, r.shown, "%s (%s) has no test", r.id, r.what)
		} else if len(r.shown) == 0 {
			require.Regexp(t, regexp.MustCompile(`^not (here|offered)\b`), r.reason, r.id)
		}
	}
	for kind, n := range map[string]int{"MUST": 69, "SHLD": 31, "MAY": 18, "REC": 1} {
		for i := 1; i <= n; i++ {
			id := kind + "-" + strconv.Itoa(i)
			require.True(t, seen[id], "%s is missing", id)
		}
	}
}

// TestNoMSSOutsideSYN: whatever a segment says, the options of a SYN are written to nothing else.
func TestNoMSSOutsideSYN(t *testing.T) {
	s := Segment{Flags: ACK, Opts: Options{HasMSS: true, MSS: 1460, HasWScale: true, SACKPermitted: true}}
	require.Equal(t, MinHeaderLen, s.HeaderLen())
	require.Equal(t, MinHeaderLen, s.MarshalHeader(make([]byte, MaxHeaderLen)))
}

// existingTests returns the names of the package's tests, and as subtests of the recordings of the kernel and of the
// requirements that package sim shows.
func existingTests(t *testing.T) map[string]bool {
	names := map[string]bool{}
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, f := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		require.NoError(t, err)
		for _, d := range tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				names[fn.Name.Name] = true
			}
		}
	}
	b, err := os.ReadFile(filepath.Join("testdata", "kernel", "scenes.txt"))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?m)^== (\S+)$`).FindAllStringSubmatch(string(b), -1) {
		names["TestKernelTraces/"+m[1]] = true
	}
	b, err = os.ReadFile(filepath.Join("..", "sim", "rfc9293_test.go"))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?m)^\t\t\{"([A-Z]+-\d+)", `).FindAllStringSubmatch(string(b), -1) {
		names["sim.TestRFC9293/"+m[1]] = true
	}
	return names
}
