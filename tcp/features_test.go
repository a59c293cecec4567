package tcp

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the protocol offers beyond the numbered requirements of RFC 9293, and what shows each: tests of this package,
// tests of others with the package before them ("sim/peer.Test…"), and packet scripts below sim/packetdrill/testdata,
// which hold on the kernel of Linux too unless they say otherwise.
var features = []struct {
	group, what string
	shown       []string
}{
	// Event processing
	{"events", "in the order of RFC 9293 section 3.10.7", []string{"TestFigures", "TestKernelTraces", "TestRandomSegments", "sim/peer.TestSinglePackets",
		"handshake/listen_syn_fin.pkt", "handshake/syn_received_bad_ack.pkt", "handshake/active_bad_ack.pkt", "ack/of_unsent_data.pkt"}},
	{"events", "RFC 5961: challenge ACKs for RST", []string{"reset/in_window.pkt", "reset/exact.pkt", "reset/out_of_window.pkt", "reset/with_sack.pkt"}},
	{"events", "RFC 5961: challenge ACKs for SYN", []string{"reset/syn_in_window.pkt", "reset/syn_out_of_window.pkt", "reset/syn_ack_on_connection.pkt"}},
	{"events", "RFC 5961: blind data", []string{"TestBlindData", "reset/old_ack.pkt"}},
	{"events", "challenge ACKs are rate limited", []string{"TestChallengeAckLimit", "reset/challenge_limit.pkt"}},
	{"events", "RFC 1337", []string{"close/time_wait_rfc1337.pkt", "close/time_wait_reset.pkt"}},
	{"events", "Appendix B of RFC 9293", []string{"TestAppendixB", "sim.TestRFC9293"}},

	// Congestion control
	{"congestion", "Reno (RFC 5681)", []string{"TestNewRenoGrowth", "TestNewRenoOnCongestion", "retransmit/slow_start.pkt", "cwnd/congestion_avoidance.pkt", "retransmit/reno_halves.pkt"}},
	{"congestion", "NewReno (RFC 6582)", []string{"TestFastRetransmitNewReno", "retransmit/partial_ack.pkt"}},
	{"congestion", "CUBIC as Linux has it", []string{"TestCubicCurve", "TestCubicFriendlySlope", "TestCubicPause", "TestCubicTimeout", "TestCubicIdle", "cwnd/cubic_curve.pkt", "cwnd/cubic_friendly.pkt",
		"cwnd/cubic_pause.pkt", "cwnd/cubic_fast_convergence.pkt", "cwnd/cubic_timeout.pkt", "cwnd/cubic_idle.pkt", "retransmit/cubic_beta.pkt"}},
	{"congestion", "CUBIC as RFC 9438 has it", []string{"TestCubicRFCCurve", "TestCubicRFCRenoFriendly", "TestCubicRFCOnCongestion", "TestCubicRFCAfterTimeout", "TestCubicRFCUndo"}},
	{"congestion", "HyStart as Linux has it", []string{"TestHyStartDelay", "TestHyStartTrain", "TestHyStartOnce", "TestHyStartOff", "cwnd/hystart_delay.pkt", "cwnd/hystart_delay_not.pkt", "cwnd/hystart_train.pkt"}},
	{"congestion", "HyStart++ (RFC 9406)", []string{"TestHyStartPlusThreshold", "TestHyStartPlusExit", "TestHyStartPlusSpurious"}},
	{"congestion", "selectable per stack and per connection", []string{"TestCongestionControlChoice", "TestSelect", "cwnd/choose_by_socket.pkt"}},
	{"congestion", "goodput as theory and the kernel have it", []string{"sim/goodput.TestGoodput", "sim/goodput.TestComparison"}},
	{"congestion", "initial window of 10 (RFC 6928)", []string{"TestKernelTraces/iw10", "data/initial_window.pkt"}},
	{"congestion", "slow start after idle", []string{"TestIdleRestart", "TestWindowRestartAfterIdle", "cwnd/idle_restart.pkt", "cwnd/idle_restart_off.pkt"}},
	{"congestion", "window validation (RFC 7661, RFC 2861)", []string{"TestWindowIsLimited", "TestWindowValidateShrinks", "retransmit/application_limited.pkt", "cwnd/unused_stays.pkt"}},
	{"congestion", "appropriate byte counting (RFC 3465)", []string{"TestWindowSlowStart", "TestWindowCongAvoid", "cwnd/ack_division.pkt"}},
	{"congestion", "limited transmit (RFC 3042)", []string{"retransmit/limited_transmit.pkt"}},
	{"congestion", "ECN (RFC 3168)", []string{"TestECNSender", "TestECNReceiver", "ecn/active.pkt", "ecn/negotiated.pkt", "ecn/fallback.pkt", "ecn/ce_echoed.pkt", "ecn/ece_reduces.pkt",
		"ecn/retransmission_not_ect.pkt", "ecn/off.pkt"}},
	{"congestion", "ECN reduces once a window", []string{"ecn/once_per_window.pkt"}},
	{"congestion", "undo by timestamps (Eifel, RFC 3522, RFC 4015)", []string{"recovery/undo_by_timestamp.pkt", "retransmit/spurious_timestamps.pkt"}},
	{"congestion", "undo by DSACK (RFC 3708)", []string{"TestUndoByDSACK", "recovery/undo_by_dsack.pkt", "retransmit/spurious_dsack.pkt"}},
	{"congestion", "F-RTO (RFC 5682)", []string{"recovery/frto_spurious.pkt"}},

	// Loss detection
	{"loss", "SACK scoreboard (RFC 2018, RFC 6675)", []string{"TestFastRetransmitSACK", "TestRecoveryModes", "retransmit/sack_hole.pkt", "recovery/two_holes.pkt", "recovery/sack_of_unsent.pkt", "recovery/sack_beyond_sent.pkt",
		"recovery/sack_inverted.pkt"}},
	{"loss", "RACK (RFC 8985)", []string{"TestReorderingIsLearned", "recovery/rack_timer.pkt", "recovery/lost_retransmission.pkt", "recovery/reordering_survived.pkt", "recovery/reordering_learned.pkt"}},
	{"loss", "tail loss probes (RFC 8985)", []string{"TestTailLossProbe", "TestTailLossProbeNewData", "TestTLPRecovery", "retransmit/tail_loss_probe.pkt", "retransmit/tail_loss_probe_new_data.pkt",
		"recovery/tlp_dsack.pkt", "recovery/tlp_repairs.pkt", "recovery/tlp_then_timeout.pkt"}},
	{"loss", "PRR (RFC 6937)", []string{"recovery/prr.pkt", "recovery/prr_many_lost.pkt", "recovery/cubic_window_after.pkt"}},
	{"loss", "DSACK sent on duplicates (RFC 2883)", []string{"sack/dsack_below_ack.pkt", "sack/dsack_above_ack.pkt", "sack/dsack_partial.pkt", "sack/dsack_off.pkt"}},
	{"loss", "SACK reneging survived", []string{"TestRenegingSurvived", "recovery/reneging.pkt"}},
	{"loss", "RTO of 200 ms at least, 120 s at most", []string{"TestRTTBounds", "TestBackoff", "retransmit/timeout.pkt", "retransmit/backoff_repeated.pkt"}},
	{"loss", "RTO of 1 s at least, and other bounds, by option", []string{"TestConfigDefaults", "TestSysctlRanges", "retransmit/rto_min.pkt", "retransmit/rto_max.pkt", "retransmit/rto_max_option.pkt"}},
	{"loss", "exponential backoff", []string{"TestBackoffAndSlowStart", "retransmit/backoff.pkt", "retransmit/backoff_repeated.pkt"}},
	{"loss", "SYN again after 1, 3, 7 s", []string{"TestSynRetriesAndLinearTimeouts", "handshake/active_syn_retransmit.pkt", "handshake/active_syncnt.pkt", "handshake/active_syn_linear.pkt"}},
	{"loss", "ETIMEDOUT after tcp_syn_retries, tcp_retries2", []string{"TestConnectTimesOut", "TestR1R2", "handshake/active_timeout.pkt", "retransmit/gives_up.pkt"}},
	{"loss", "TCP_USER_TIMEOUT (RFC 5482)", []string{"TestUserTimeout", "TestConnectUserTimeout", "retransmit/user_timeout.pkt", "window/probe_user_timeout.pkt", "keepalive/with_user_timeout.pkt"}},
	{"loss", "every retransmission names its cause", []string{"sim.TestTraceNamesCauses", "sim/packetdrill.TestEveryRetransmissionNamesItsCause"}},

	// Flow control
	{"flow", "window scaling", []string{"window/scaled.pkt", "handshake/passive_wscale_only.pkt", "handshake/passive_wscale_too_great.pkt"}},
	{"flow", "silly windows avoided by the sender", []string{"TestSillyWindowSender", "window/silly_sender.pkt"}},
	{"flow", "silly windows avoided by the receiver", []string{"TestSillyWindowReceiver", "TestSillyWindowReceiverScaled", "window/reopened.pkt"}},
	{"flow", "zero-window probes with backoff", []string{"TestZeroWindow", "TestProbesUnanswered", "window/probe.pkt", "window/probe_backoff.pkt", "window/probe_answered.pkt", "window/probe_unanswered.pkt"}},
	{"flow", "receive buffers that size themselves", []string{"TestReceiveAutotuning", "TestReceiveMemoryIsBounded"}},
	{"flow", "an advertised edge never shrinks", []string{"window/advertised.pkt", "window/clamp_later.pkt", "TestRandomSegments"}},
	{"flow", "MSS less the options really sent", []string{"TestSACKBlocksTakeRoom", "TestSendMSS", "handshake/mss_less_options.pkt", "sack/segments_shrink.pkt"}},
	{"flow", "TCP_MAXSEG", []string{"handshake/active_maxseg.pkt"}},
	{"flow", "path MTU discovery by ICMP", []string{"TestPathMTU", "sim/peer.TestPathMTU", "pmtu/frag_needed.pkt", "pmtu/packet_too_big.pkt", "pmtu/later_segments.pkt", "pmtu/df_set.pkt"}},
	{"flow", "path MTU discovery by probes (PLPMTUD, RFC 4821)", []string{"TestMTUProbing", "TestMTUProbingLosesNoWindow", "TestMTUProbingAgain", "pmtu/probe_arrives.pkt", "pmtu/probe_lost.pkt", "pmtu/black_hole.pkt"}},
	{"flow", "RFC 5927: what ICMP is believed", []string{"TestICMPErrors", "pmtu/not_ours.pkt", "pmtu/greater.pkt", "pmtu/too_small.pkt", "icmp/out_of_window.pkt", "icmp/hard_error_on_connection.pkt",
		"icmp/source_quench.pkt"}},

	// Acknowledgments
	{"acks", "delayed by 40 ms", []string{"TestDelayedAck", "TestDelayedAckBound", "ack/delayed_after_reply.pkt"}},
	{"acks", "quick at the start", []string{"TestQuickAck", "ack/quick_at_start.pkt", "ack/quickack_option.pkt"}},
	{"acks", "every second full segment", []string{"ack/every_second_full.pkt"}},
	{"acks", "immediate on out-of-order", []string{"TestOutOfOrder", "ack/out_of_order_at_once.pkt", "ack/duplicate_at_once.pkt"}},
	{"acks", "piggybacked", []string{"TestAggregateAcks", "TestWritePending", "ack/piggyback.pkt", "handshake/write_waits_for_connection.pkt"}},
	{"acks", "keepalive with idle time, interval and count", []string{"TestKeepAlive", "TestKeepAliveConfig", "keepalive/probes.pkt", "keepalive/gives_up.pkt", "keepalive/default_times.pkt", "keepalive/answered.pkt"}},
	{"acks", "TCP_NODELAY, Nagle", []string{"TestNagle", "data/nagle.pkt", "data/nodelay.pkt", "data/nodelay_flushes.pkt"}},
	{"acks", "TCP_CORK", []string{"TestCork", "data/cork.pkt", "data/cork_timeout.pkt"}},
	{"acks", "MSG_MORE", []string{"data/msg_more.pkt", "data/msg_more_full.pkt"}},
	{"acks", "PSH where Linux puts it", []string{"TestPush", "data/push_half_window.pkt", "data/push_small_window.pkt", "data/write_many_segments.pkt", "data/offload.pkt"}},
	{"acks", "options in Linux's order", []string{"TestOptionOrder", "handshake/active_open.pkt", "handshake/passive_open.pkt", "sack/three_with_timestamps.pkt"}},

	// Close
	{"close", "RST when unread data is discarded", []string{"TestCloseWithUnreadData", "close/unread_data.pkt", "close/data_after_close.pkt"}},
	{"close", "linger 0", []string{"TestAbort", "close/linger_zero.pkt", "close/linger_zero_data.pkt"}},
	{"close", "half-close in every order", []string{"TestCloseOrders", "TestHalfClose", "sim/peer.TestCloseOrders", "close/half_close.pkt", "close/half_close_of_peer.pkt", "close/simultaneous.pkt", "close/shutdown_both.pkt"}},
	{"close", "FIN with data", []string{"close/fin_with_data_from_peer.pkt", "close/data_with_last_fin.pkt", "close/with_data_queued.pkt"}},
	{"close", "TIME-WAIT of 60 s", []string{"TestTimeWait", "TestTimeWaitEnds", "close/time_wait_ends.pkt", "close/time_wait_fin_again.pkt"}},
	{"close", "timestamp-safe reuse of TIME-WAIT", []string{"close/time_wait_reuse.pkt", "timestamps/time_wait_reuse.pkt", "close/time_wait_old_syn.pkt", "timestamps/time_wait_old_timestamp.pkt", "socket.TestReuseOfTimeWait"}},
	{"close", "orphans are bounded in time", []string{"TestOrphans", "TestOrphanFinWait2StandIn", "close/orphan_retries.pkt", "close/fin_wait_2_times_out.pkt"}},
	{"close", "orphans are bounded in number", []string{"TestOrphanLimit"}},

	// Listening
	{"listen", "limits of the SYN queue and the accept queue", []string{"handshake/backlog_full.pkt", "socket.TestAcceptQueueOverflow", "socket.TestAcceptQueueMemory"}},
	{"listen", "SYN cookies (RFC 4987)", []string{"TestCookies", "TestCookieForgery", "socket.TestSynCookies", "handshake/syncookies.pkt", "handshake/syncookies_options.pkt", "handshake/syncookies_forged.pkt"}},
	{"listen", "simultaneous open", []string{"TestFigures", "handshake/simultaneous_open.pkt", "handshake/simultaneous_open_ack.pkt"}},
	{"listen", "self-connect", []string{"TestSelfConnect"}},

	// TCP_INFO and Config
	{"info", "names of tcp_info", []string{"TestInfoNames"}},
	{"info", "values of tcp_info", []string{"TestTimestampRTT", "sockets/info_recovery.pkt", "sockets/info_rcv_rtt.pkt", "sockets/info_pacing.pkt", "retransmit/info_timeouts.pkt"}},
	{"config", "reads like Linux's sysctls", []string{"TestConfigNames", "TestSysctlRanges", "handshake/passive_sysctls_off.pkt", "recovery/sysctl_early_retrans_off.pkt"}},
	{"config", "documented with defaults", []string{"TestConfigNames", "TestConfigDefaults"}},
}

// TestFeaturesAreShown checks that what the table names exists.
func TestFeaturesAreShown(t *testing.T) {
	tests := existingTests(t)
	seen := map[string]bool{}
	for _, f := range features {
		require.False(t, seen[f.what], "%s is there twice", f.what)
		seen[f.what] = true
		require.NotEmpty(t, f.shown, f.what)
		for _, name := range f.shown {
			require.True(t, shownBy(t, tests, name), "%s: %s: there is no %s", f.group, f.what, name)
		}
	}
}

// shownBy reports whether there is a test or script of that name.
func shownBy(t *testing.T, tests map[string]bool, name string) bool {
	t.Helper()
	if strings.HasSuffix(name, ".pkt") {
		_, err := os.Stat(filepath.Join("..", "sim", "packetdrill", "testdata", filepath.FromSlash(name)))
		return err == nil
	}
	pkg, test, elsewhere := strings.Cut(name, ".")
	if !elsewhere {
		return tests[name]
	}
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(pkg), "*_test.go"))
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		if strings.Contains(string(b), "\nfunc "+test+"(t *testing.T)") {
			return true
		}
	}
	return false
}

// TestInfoNames: the fields of Info have the names of Linux's struct tcp_info.
func TestInfoNames(t *testing.T) {
	var have []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Info]()) {
		have = append(have, strings.ToLower(f.Name))
	}
	for _, name := range strings.Fields("state ca_state retransmits probes backoff options snd_wscale rcv_wscale rto ato snd_mss rcv_mss unacked " +
		"sacked lost retrans last_data_sent last_data_recv last_ack_recv pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering " +
		"rcv_rtt rcv_space total_retrans pacing_rate bytes_acked bytes_received segs_out segs_in notsent_bytes min_rtt data_segs_in data_segs_out " +
		"delivered delivered_ce bytes_sent bytes_retrans dsack_dups reord_seen rcv_ooopack snd_wnd rcv_wnd rehash total_rto total_rto_recoveries " +
		"total_rto_time fastopen_client_fail") {
		require.Contains(t, have, strings.ReplaceAll(name, "_", ""), name)
	}
}

// TestConfigNames: each field of Config says what it is and, where Linux has it, by which name; Set takes that name.
func TestConfigNames(t *testing.T) {
	fields := configFields(t)
	named := regexp.MustCompile(`^(tcp_\w+)`)
	for field, doc := range fields {
		require.NotEmpty(t, doc, "Config.%s", field)
		m := named.FindStringSubmatch(doc)
		if m == nil {
			continue
		}
		require.Contains(t, doc, ";", "Config.%s does not tell its default", field)
		value := "1"
		switch m[1] {
		case "tcp_rmem", "tcp_wmem":
			value = "4096 8192 16384"
		case "tcp_congestion_control":
			value = "reno"
		case "tcp_min_snd_mss", "tcp_mtu_probe_floor":
			value = "48"
		case "tcp_rto_min", "tcp_rto_max": // Linux has the unit in the name
			m[1] += "_ms"
			value = "1000"
		}
		c := new(Config)
		require.NoError(t, c.Set(m[1], value), "Config.%s", field)
		require.NotEqual(t, new(Config), c, "Config.%s: Set changes nothing", field)
	}
	for _, name := range []string{"tcp_timestamps", "tcp_sack", "tcp_window_scaling", "tcp_ecn", "tcp_congestion_control", "tcp_slow_start_after_idle",
		"tcp_rmem", "tcp_wmem", "tcp_rto_min", "tcp_rto_max", "tcp_syn_retries", "tcp_retries2", "tcp_fin_timeout"} {
		found := false
		for _, doc := range fields {
			found = found || strings.HasPrefix(doc, name)
		}
		require.True(t, found, "no field is documented as %s", name)
	}
}

// configFields returns the comments of Config's exported fields.
func configFields(t *testing.T) map[string]string {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	require.NoError(t, err)
	fields := map[string]string{}
	ast.Inspect(tree, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != "Config" {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			for _, name := range f.Names {
				if name.IsExported() {
					fields[name.Name] = strings.TrimSpace(f.Doc.Text() + f.Comment.Text())
				}
			}
		}
		return false
	})
	return fields
}
