package packetdrill

import "strings"

// bsdSysctl translates FreeBSD's names. Those without a counterpart that
// could change what packets show are host tuning to us.
func bsdSysctl(name string) (linux []string, ok bool) {
	switch name {
	case "net.inet.tcp.rfc1323":
		return []string{"net.ipv4.tcp_timestamps", "net.ipv4.tcp_window_scaling"}, true
	case "net.inet.tcp.sack.enable":
		return []string{"net.ipv4.tcp_sack"}, true
	case "net.inet.tcp.ecn.enable":
		return []string{"net.ipv4.tcp_ecn"}, true
	case "net.inet.tcp.cc.algorithm":
		return []string{"net.ipv4.tcp_congestion_control"}, true
	case "net.inet.tcp.syncookies":
		return []string{"net.ipv4.tcp_syncookies"}, true
	}
	return nil, strings.HasPrefix(name, "net.inet") || strings.HasPrefix(name, "kern.")
}

// hostSysctl tells settings that tune a machine and its memory, pacing or
// batching, and change nothing in the packets of a script; of two of them the
// package's documentation says that they might. A setting that is
// given the value which says what a stack does that does not know it is one.
func hostSysctl(name, value string) bool {
	switch name {
	case "net.ipv4.tcp_mem", "net.ipv4.udp_mem", "net.ipv4.udp_rmem_min", "net.ipv4.udp_wmem_min", "net.ipv4.tcp_no_metrics_save",
		"net.ipv4.tcp_no_ssthresh_metrics_save", "net.ipv4.tcp_min_tso_segs", "net.ipv4.tcp_tso_win_divisor", "net.ipv4.tcp_tso_rtt_log",
		"net.ipv4.tcp_limit_output_bytes", "net.ipv4.tcp_fwmark_accept", "net.ipv4.tcp_early_demux", "net.ipv4.udp_early_demux",
		"net.ipv4.ip_early_demux", "net.ipv4.tcp_low_latency", "net.ipv4.tcp_fack", "net.ipv4.tcp_pacing_ss_ratio", "net.ipv4.tcp_pacing_ca_ratio",
		"net.ipv4.tcp_pingpong_thresh", "net.ipv4.tcp_available_congestion_control", "net.ipv4.tcp_allowed_congestion_control",
		"net.ipv4.tcp_available_ulp", "net.ipv4.tcp_backlog_ack_defer", "net.ipv4.ip_forward", "net.ipv4.tcp_autocorking",
		"net.ipv4.tcp_child_ehash_entries", "net.ipv4.udp_child_hash_entries", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.ip_nonlocal_bind", "net.ipv6.ip_nonlocal_bind", "net.ipv4.ip_autobind_reuse", "net.ipv4.ping_group_range",
		"net.ipv4.tcp_comp_sack_slack_ns", "net.ipv4.tcp_comp_sack_rtt_percent", "net.ipv4.tcp_ecn_option", "net.ipv4.tcp_ecn_option_beacon",
		"net.ipv4.tcp_migrate_req", "net.ipv4.tcp_fastopen_blackhole_timeout_sec", "net.ipv6.auto_flowlabels", "net.ipv6.flowlabel_consistency", "net.ipv6.flowlabel_state_ranges",
		"net.ipv4.icmp_echo_ignore_broadcasts", "net.ipv4.icmp_ignore_bogus_error_responses", "net.ipv4.icmp_ratelimit", "net.ipv6.icmp.ratelimit",
		"net.ipv4.icmp_ratemask", "net.ipv6.icmp.ratemask", "net.ipv4.icmp_msgs_per_sec", "net.ipv4.icmp_msgs_burst",
		"net.ipv4.fwmark_reflect", "net.ipv6.fwmark_reflect":
		return true
	case "net.ipv4.tcp_reflect_tos", "net.ipv4.tcp_stdurg", "net.ipv4.tcp_workaround_signed_windows",
		"net.ipv4.tcp_plb_enabled", "net.ipv4.tcp_l3mdev_accept", "net.ipv4.udp_l3mdev_accept",
		"net.ipv4.ip_no_pmtu_disc", "net.ipv4.icmp_echo_ignore_all", "net.ipv6.icmp.echo_ignore_all", "net.ipv4.icmp_echo_enable_probe",
		"net.ipv6.bindv6only", "net.ipv6.flowlabel_reflect":
		return value == "0"
	}
	for _, prefix := range []string{"net.core.", "net.ipv4.conf.", "net.ipv6.conf.", "net.ipv4.route.", "net.ipv6.route.", "net.ipv4.neigh.",
		"net.ipv6.neigh.", "net.ipv4.tcp_plb_", "net.ipv4.ipfrag_", "net.ipv6.ip6frag_", "net.ipv4.igmp_", "net.ipv6.mld_", "net.ipv4.fib_", "net.ipv6.fib_",
		"net.ipv4.inet_peer_", "net.mptcp.", "net.netfilter.", "net.unix.", "kernel.", "vm.", "fs.", "dev.", "user.", "debug."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
