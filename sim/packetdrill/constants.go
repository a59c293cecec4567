package packetdrill

import "syscall"

// errnoByName gives the errno of a name as scripts write it.
func errnoByName(name string) (syscall.Errno, bool) {
	for _, e := range errnoTable() {
		if e.name == name {
			return e.errno, true
		}
	}
	return 0, false
}

// errnoName is the inverse of errnoByName.
func errnoName(errno syscall.Errno) string {
	for _, e := range errnoTable() {
		if e.errno == errno {
			return e.name
		}
	}
	return errno.Error()
}

// errnoNumber is Linux's number of an errno, whatever this machine's is.
func errnoNumber(errno syscall.Errno) int64 {
	for _, e := range errnoTable() {
		if e.errno == errno {
			return e.linux
		}
	}
	return int64(errno)
}

type errnoEntry struct {
	name  string
	errno syscall.Errno
	linux int64
}

// errnoTable lists the errors of sockets, with Linux's numbers. The first
// name of a number is the one printed.
func errnoTable() []errnoEntry {
	return []errnoEntry{
		{"EPERM", syscall.EPERM, 1}, {"ENOENT", syscall.ENOENT, 2}, {"EINTR", syscall.EINTR, 4},
		{"EIO", syscall.EIO, 5}, {"EBADF", syscall.EBADF, 9}, {"EAGAIN", syscall.EAGAIN, 11},
		{"EWOULDBLOCK", syscall.EAGAIN, 11}, {"ENOMEM", syscall.ENOMEM, 12}, {"EACCES", syscall.EACCES, 13},
		{"EFAULT", syscall.EFAULT, 14}, {"EBUSY", syscall.EBUSY, 16}, {"EEXIST", syscall.EEXIST, 17},
		{"EINVAL", syscall.EINVAL, 22}, {"EMFILE", syscall.EMFILE, 24}, {"ENFILE", syscall.ENFILE, 23},
		{"ENOTTY", syscall.ENOTTY, 25}, {"EPIPE", syscall.EPIPE, 32}, {"EDOM", syscall.EDOM, 33},
		{"ENOSYS", syscall.ENOSYS, 38}, {"EPROTO", syscall.EPROTO, 71},
		{"ENOTSOCK", syscall.ENOTSOCK, 88}, {"EDESTADDRREQ", syscall.EDESTADDRREQ, 89},
		{"EMSGSIZE", syscall.EMSGSIZE, 90}, {"EPROTOTYPE", syscall.EPROTOTYPE, 91},
		{"ENOPROTOOPT", syscall.ENOPROTOOPT, 92}, {"EPROTONOSUPPORT", syscall.EPROTONOSUPPORT, 93},
		{"EOPNOTSUPP", syscall.EOPNOTSUPP, 95}, {"ENOTSUP", syscall.EOPNOTSUPP, 95},
		{"EAFNOSUPPORT", syscall.EAFNOSUPPORT, 97}, {"EADDRINUSE", syscall.EADDRINUSE, 98},
		{"EADDRNOTAVAIL", syscall.EADDRNOTAVAIL, 99}, {"ENETDOWN", syscall.ENETDOWN, 100},
		{"ENETUNREACH", syscall.ENETUNREACH, 101}, {"ECONNABORTED", syscall.ECONNABORTED, 103},
		{"ECONNRESET", syscall.ECONNRESET, 104}, {"ENOBUFS", syscall.ENOBUFS, 105},
		{"EISCONN", syscall.EISCONN, 106}, {"ENOTCONN", syscall.ENOTCONN, 107},
		{"ETIMEDOUT", syscall.ETIMEDOUT, 110}, {"ECONNREFUSED", syscall.ECONNREFUSED, 111},
		{"EHOSTUNREACH", syscall.EHOSTUNREACH, 113}, {"EALREADY", syscall.EALREADY, 114},
		{"EINPROGRESS", syscall.EINPROGRESS, 115}, {"EHOSTDOWN", syscall.EHOSTDOWN, 112},
	}
}

// constantByName gives the value of a C constant as Linux has it.
func constantByName(name string) (int64, bool) {
	if errno, ok := errnoByName(name); ok {
		return errnoNumber(errno), true
	}
	n, ok := flagConstant(name)
	if !ok {
		n, ok = optionConstant(name)
	}
	if !ok {
		n, ok = stateConstant(name)
	}
	return n, ok
}

// flagConstant knows families, types and the flags of calls.
func flagConstant(name string) (int64, bool) {
	n, ok := map[string]int64{
		"AF_UNSPEC": 0, "AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10,
		"PF_INET": 2, "PF_INET6": 10,
		"SOCK_STREAM": 1, "SOCK_DGRAM": 2, "SOCK_RAW": 3, "SOCK_NONBLOCK": 0x800, "SOCK_CLOEXEC": 0x80000,
		"IPPROTO_IP": 0, "IPPROTO_ICMP": 1, "IPPROTO_TCP": 6, "IPPROTO_UDP": 17, "IPPROTO_IPV6": 41, "IPPROTO_ICMPV6": 58,
		"INADDR_ANY": 0, "INADDR_LOOPBACK": 0x7f000001, "SOMAXCONN": 4096, "NULL": 0,
		"MSG_OOB": 0x1, "MSG_PEEK": 0x2, "MSG_DONTROUTE": 0x4, "MSG_CTRUNC": 0x8, "MSG_TRUNC": 0x20, "MSG_DONTWAIT": 0x40,
		"MSG_EOR": 0x80, "MSG_WAITALL": 0x100, "MSG_FIN": 0x200, "MSG_SYN": 0x400, "MSG_CONFIRM": 0x800, "MSG_ERRQUEUE": 0x2000,
		"MSG_NOSIGNAL": 0x4000, "MSG_MORE": 0x8000, "MSG_ZEROCOPY": 0x4000000, "MSG_FASTOPEN": 0x20000000,
		"MSG_CMSG_CLOEXEC":  0x40000000,
		"SO_EE_ORIGIN_NONE": 0, "SO_EE_ORIGIN_LOCAL": 1, "SO_EE_ORIGIN_ICMP": 2, "SO_EE_ORIGIN_ICMP6": 3, "SO_EE_ORIGIN_TIMESTAMPING": 4,
		"SO_EE_ORIGIN_ZEROCOPY": 5, "SO_EE_CODE_ZEROCOPY_COPIED": 1, "ENOMSG": 42,
		"SPLICE_F_MOVE": 1, "SPLICE_F_NONBLOCK": 2, "SPLICE_F_MORE": 4, "O_CREAT": 0x40, "O_TRUNC": 0x200,
		"SCM_TIMESTAMPING": 37, "SCM_TSTAMP_SND": 0, "SCM_TSTAMP_SCHED": 1, "SCM_TSTAMP_ACK": 2,
		"SOF_TIMESTAMPING_TX_HARDWARE": 1, "SOF_TIMESTAMPING_TX_SOFTWARE": 2, "SOF_TIMESTAMPING_RX_HARDWARE": 4, "SOF_TIMESTAMPING_RX_SOFTWARE": 8,
		"SOF_TIMESTAMPING_SOFTWARE": 16, "SOF_TIMESTAMPING_SYS_HARDWARE": 32, "SOF_TIMESTAMPING_RAW_HARDWARE": 64, "SOF_TIMESTAMPING_OPT_ID": 128,
		"SOF_TIMESTAMPING_TX_SCHED": 256, "SOF_TIMESTAMPING_TX_ACK": 512, "SOF_TIMESTAMPING_OPT_CMSG": 1024, "SOF_TIMESTAMPING_OPT_TSONLY": 2048,
		"SHUT_RD": 0, "SHUT_WR": 1, "SHUT_RDWR": 2,
		"O_RDONLY": 0, "O_WRONLY": 1, "O_RDWR": 2, "O_APPEND": 0x400, "O_NONBLOCK": 0x800, "O_NDELAY": 0x800, "O_ASYNC": 0x2000,
		"F_GETFD": 1, "F_SETFD": 2, "F_GETFL": 3, "F_SETFL": 4, "FD_CLOEXEC": 1,
		"POLLIN": 0x1, "POLLPRI": 0x2, "POLLOUT": 0x4, "POLLERR": 0x8, "POLLHUP": 0x10, "POLLNVAL": 0x20,
		"POLLRDNORM": 0x40, "POLLRDBAND": 0x80, "POLLWRNORM": 0x100, "POLLWRBAND": 0x200, "POLLRDHUP": 0x2000,
		"EPOLLIN": 0x1, "EPOLLPRI": 0x2, "EPOLLOUT": 0x4, "EPOLLERR": 0x8, "EPOLLHUP": 0x10,
		"EPOLLRDNORM": 0x40, "EPOLLWRNORM": 0x100, "EPOLLRDHUP": 0x2000, "EPOLLET": 0x80000000, "EPOLLONESHOT": 0x40000000,
		"EPOLL_CTL_ADD": 1, "EPOLL_CTL_DEL": 2, "EPOLL_CTL_MOD": 3, "EPOLL_CLOEXEC": 0x80000,
		"SIOCINQ": 0x541B, "FIONREAD": 0x541B, "SIOCOUTQ": 0x5411, "TIOCOUTQ": 0x5411, "SIOCOUTQNSD": 0x894B,
		"SIOCATMARK": 0x8905, "FIONBIO": 0x5421, "FIONWRITE": 0x5411,
		"IPTOS_LOWDELAY": 0x10, "IPTOS_THROUGHPUT": 0x8, "IPTOS_RELIABILITY": 0x4, "IPTOS_MINCOST": 0x2, "IPTOS_ECN_ECT0": 2, "IPTOS_ECN_ECT1": 1,
		"IP_PMTUDISC_DONT": 0, "IP_PMTUDISC_WANT": 1, "IP_PMTUDISC_DO": 2, "IP_PMTUDISC_PROBE": 3, "IP_PMTUDISC_INTERFACE": 4, "IP_PMTUDISC_OMIT": 5,
		"IPV6_PMTUDISC_DONT": 0, "IPV6_PMTUDISC_WANT": 1, "IPV6_PMTUDISC_DO": 2, "IPV6_PMTUDISC_PROBE": 3,
	}[name]
	return n, ok
}

// stateConstant knows what assertions over TCP_INFO are written with.
func stateConstant(name string) (int64, bool) {
	n, ok := map[string]int64{
		"TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5, "TCP_TIME_WAIT": 6,
		"TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11, "TCP_NEW_SYN_RECV": 12,
		"TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
		"TFO_STATUS_UNSPEC": 0, "TFO_COOKIE_UNAVAILABLE": 1, "TFO_DATA_NOT_ACKED": 2, "TFO_SYN_RETRANSMITTED": 3,
		"TCPS_ESTABLISHED": 1, "TCPS_SYN_SENT": 2, "TCPS_SYN_RECEIVED": 3, "TCPS_FIN_WAIT_1": 4, "TCPS_FIN_WAIT_2": 5, "TCPS_TIME_WAIT": 6,
		"TCPS_CLOSED": 7, "TCPS_CLOSE_WAIT": 8, "TCPS_LAST_ACK": 9, "TCPS_LISTEN": 10, "TCPS_CLOSING": 11, // FreeBSD's names, Linux's numbers
		"TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8, "TCPI_OPT_ECN_SEEN": 16, "TCPI_OPT_SYN_DATA": 32,
	}[name]
	return n, ok
}

// optionConstant knows levels and names of socket options.
func optionConstant(name string) (int64, bool) {
	for _, level := range optionLevels() {
		if level.name == name || level.alias == name {
			return level.num, true
		}
		for i, option := range level.options {
			if option == name {
				return int64(i), true
			}
		}
	}
	n, ok := map[string]int64{
		"TCP_FASTOPEN_CONNECT": 30, "TCP_ULP": 31, "TCP_FASTOPEN_KEY": 33, "TCP_FASTOPEN_NO_COOKIE": 34, "TCP_INQ": 36, "TCP_CM_INQ": 36,
		"TCP_TX_DELAY": 37, "TCP_RTO_MAX_MS": 44, "SO_MAX_PACING_RATE": 47, "SO_BUSY_POLL": 46, "SO_INCOMING_CPU": 49, "SO_ZEROCOPY": 60,
		"SO_TIMESTAMPING": 37, "SO_PEEK_OFF": 42, "SO_LOCK_FILTER": 44, "SO_MEMINFO": 55, "IPV6_V6ONLY": 26, "IPV6_RECVERR": 25, "IPV6_MTU": 24, "IPV6_MTU_DISCOVER": 23, "IPV6_UNICAST_HOPS": 16,
		"IPV6_TCLASS": 67, "IPV6_RECVTCLASS": 66, "IPV6_RECVHOPLIMIT": 51, "IPV6_HOPLIMIT": 52,
		"TCP_FUNCTION_BLK": 0x2000, "TCP_NOOPT": 0x2001, "TCP_NOPUSH": 0x2002, "TCP_KEEPINIT": 0x2003, "TCP_LOG": 0x2004, "TCP_LOGBUF": 0x2005,
		"TCP_LOGID": 0x2006, "TCP_LOGDUMP": 0x2007, "TCP_REMOTE_UDP_ENCAPS_PORT": 0x2008, "SO_NOSIGPIPE": 0x2009, "SO_USELOOPBACK": 0x200a,
		"TCP_DELACK": 0x200b, "TCP_RACK_TLP_REDUCE": 0x200c, "TCP_RACK_PACE_ALWAYS": 0x200d,
	}[name]
	return n, ok
}

// optionLevel is a level of socket options. options are by Linux's number.
type optionLevel struct {
	name, alias string
	num         int64
	options     []string
}

func optionLevels() []optionLevel {
	return []optionLevel{
		{"SOL_SOCKET", "SOL_SOCKET", 1, []string{
			1: "SO_DEBUG", 2: "SO_REUSEADDR", 3: "SO_TYPE", 4: "SO_ERROR", 5: "SO_DONTROUTE", 6: "SO_BROADCAST",
			7: "SO_SNDBUF", 8: "SO_RCVBUF", 9: "SO_KEEPALIVE", 10: "SO_OOBINLINE", 11: "SO_NO_CHECK", 12: "SO_PRIORITY",
			13: "SO_LINGER", 15: "SO_REUSEPORT", 18: "SO_RCVLOWAT", 19: "SO_SNDLOWAT", 20: "SO_RCVTIMEO", 21: "SO_SNDTIMEO",
			25: "SO_BINDTODEVICE", 26: "SO_ATTACH_FILTER", 29: "SO_TIMESTAMP", 30: "SO_ACCEPTCONN", 32: "SO_SNDBUFFORCE", 33: "SO_RCVBUFFORCE",
			36: "SO_MARK", 38: "SO_PROTOCOL", 39: "SO_DOMAIN", 40: "SO_RXQ_OVFL"}},
		{"IPPROTO_TCP", "SOL_TCP", 6, []string{
			1: "TCP_NODELAY", 2: "TCP_MAXSEG", 3: "TCP_CORK", 4: "TCP_KEEPIDLE", 5: "TCP_KEEPINTVL", 6: "TCP_KEEPCNT", 7: "TCP_SYNCNT",
			8: "TCP_LINGER2", 9: "TCP_DEFER_ACCEPT", 10: "TCP_WINDOW_CLAMP", 11: "TCP_INFO", 12: "TCP_QUICKACK", 13: "TCP_CONGESTION",
			14: "TCP_MD5SIG", 16: "TCP_THIN_LINEAR_TIMEOUTS", 17: "TCP_THIN_DUPACK", 18: "TCP_USER_TIMEOUT", 19: "TCP_REPAIR",
			23: "TCP_FASTOPEN", 24: "TCP_TIMESTAMP", 25: "TCP_NOTSENT_LOWAT", 26: "TCP_CC_INFO", 27: "TCP_SAVE_SYN", 28: "TCP_SAVED_SYN"}},
		{"IPPROTO_IP", "SOL_IP", 0, []string{
			1: "IP_TOS", 2: "IP_TTL", 10: "IP_MTU_DISCOVER", 11: "IP_RECVERR", 12: "IP_RECVTTL", 13: "IP_RECVTOS", 14: "IP_MTU", 15: "IP_FREEBIND",
			19: "IP_TRANSPARENT", 24: "IP_BIND_ADDRESS_NO_PORT"}},
		{"IPPROTO_IPV6", "SOL_IPV6", 41, nil},
		{"IPPROTO_UDP", "SOL_UDP", 17, []string{1: "UDP_CORK", 103: "UDP_SEGMENT", 104: "UDP_GRO"}},
	}
}

// optionName names a level or an option from the expression in a script:
// constants keep their name, numbers get it.
func levelName(num int64) string {
	for _, level := range optionLevels() {
		if level.num == num {
			return level.name
		}
	}
	return ""
}

// optionName names option num of the level; empty if it is unknown.
func optionName(levelNum, num int64) string {
	for _, level := range optionLevels() {
		if level.num == levelNum && num >= 0 && num < int64(len(level.options)) {
			return level.options[num]
		}
	}
	return ""
}
