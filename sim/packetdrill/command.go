package packetdrill

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// shellEffect is what a command in backticks does to the run: it sets
// sysctls, in order, or lets time pass.
type shellEffect struct {
	sysctls []sysctlSetting
	sleep   time.Duration
}

type sysctlSetting struct{ name, value string }

// maxShell bounds the words of a command.
const maxShell = 10_000

// shell works out what a command in backticks does. Commands that only tune
// the machine that packetdrill runs on do nothing; unknown ones are an error.
func shell(text string) (shellEffect, error) {
	var fx shellEffect
	lines, err := shellWords(text)
	if err != nil {
		return fx, err
	}
	for _, words := range lines {
		if err := fx.command(words); err != nil {
			return fx, err
		}
	}
	return fx, nil
}

// shellWords splits a command into simple commands of words: at line ends,
// ";", "&&", "||", "|" and "&"; quotes and backslashes protect.
func shellWords(text string) ([][]string, error) {
	var lines [][]string
	var words []string
	var word strings.Builder
	inWord := false
	n := 0
	endWord := func() {
		if inWord {
			words = append(words, word.String())
			n++
		}
		word.Reset()
		inWord = false
	}
	endLine := func() {
		endWord()
		if len(words) > 0 {
			lines = append(lines, words)
		}
		words = nil
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case n > maxShell:
			return nil, fmt.Errorf("command is too long")
		case c == ' ' || c == '\t' || c == '\r':
			endWord()
		case c == '\n' || c == ';' || c == '|' || c == '&' && !strings.HasSuffix(word.String(), ">"):
			endLine()
		case c == '#' && !inWord:
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case c == '\\' && i+1 < len(text):
			if i++; text[i] != '\n' {
				word.WriteByte(text[i])
				inWord = true
			}
		case c == '"' || c == '\'':
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 {
				return nil, fmt.Errorf("quote is not closed")
			}
			word.WriteString(text[i+1 : i+1+end])
			inWord = true
			i += 1 + end
		case c == '>' && word.String() != "2" && !strings.HasSuffix(word.String(), ">"):
			endWord()
			word.WriteByte(c)
			inWord = true
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	endLine()
	return lines, nil
}

// command interprets one simple command.
func (fx *shellEffect) command(words []string) error {
	name := path.Base(words[0])
	words, target := redirections(words)
	if len(words) == 0 {
		return nil
	}
	switch name {
	case "sysctl":
		return fx.sysctl(words[1:])
	case "set_sysctls.py", "set_sysctls.sh", "set_sysctls":
		return fx.assignments(words[1:])
	case "defaults.sh":
		fx.defaults()
		return nil
	case "echo", "printf":
		if p, ok := strings.CutPrefix(target, "/proc/sys/"); ok && len(words) > 1 {
			return fx.set(p, strings.Join(words[1:], " "))
		}
		if target == "/sys/module/tcp_cubic/parameters/hystart" && len(words) > 1 {
			return fx.set("tcp_cubic.hystart", words[1])
		}
		return nil
	case "sleep", "usleep":
		return fx.wait(name, words[1:])
	case "ip":
		return fx.ip(words[1:])
	case "tc", "nstat", "ss", "netstat", "ethtool", "true", ":", "cat", "test", "[", "kldload", "kldunload", "modprobe",
		"rmmod", "insmod", "sync", "killall", "dmesg", "uname", "date", "grep", "set", "export", "exit", "tail", "head", "route", "arp",
		"mkdir", "rm", "dd", "touch", "sh", "bash", "awk", "sed", "seq", "mktemp", "wc", "cut", "sort", "python", "python3", "perl",
		"tcpdump", "ulimit", "nice", "chrt", "taskset", "pkill", "kill", "wait", "cp", "mv", "ln", "cd", "pwd", "dtrace", "siftr", "kenv", "chmod", "ifconfig", "which", "command", "nft_flush", "ktest_save_sysctls.sh", "sysctl_restore.sh":
		return nil
	}
	if strings.HasPrefix(name, "sysctl_restore") || strings.Contains(name, "=") && len(words) == 1 {
		return nil
	}
	return fmt.Errorf("unknown command %q", words[0])
}

// redirections takes ">file", "> file", "2>&1" and the like out of a command.
func redirections(words []string) (rest []string, target string) {
	for i := 0; i < len(words); i++ {
		w := words[i]
		at := strings.IndexByte(w, '>')
		if at < 0 || strings.Trim(w[:at], "0123456789") != "" {
			rest = append(rest, w)
			continue
		}
		file := strings.TrimLeft(w[at:], ">")
		if file == "" && i+1 < len(words) {
			i++
			file = words[i]
		}
		if w[:at] == "" || w[:at] == "1" {
			target = file
		}
	}
	return rest, target
}

// sysctl interprets the arguments of the command of that name.
func (fx *shellEffect) sysctl(args []string) error {
	var settings []string
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			settings = append(settings, a)
		}
	}
	if len(settings) == 3 && settings[1] == "=" {
		settings = []string{settings[0] + "=" + settings[2]}
	}
	for _, a := range settings {
		if !strings.Contains(a, "=") {
			continue // only shows the value
		}
		if err := fx.assignments([]string{a}); err != nil {
			return err
		}
	}
	return nil
}

func (fx *shellEffect) assignments(args []string) error {
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return fmt.Errorf("expected NAME=VALUE, found %q", a)
		}
		if err := fx.set(name, value); err != nil {
			return err
		}
	}
	return nil
}

// set notes a sysctl, unless it only tunes the host.
func (fx *shellEffect) set(name, value string) error {
	name = strings.TrimPrefix(strings.TrimSpace(name), "/proc/sys/")
	name = strings.ReplaceAll(name, "/", ".")
	value = strings.Join(strings.Fields(value), " ")
	if name == "" || value == "" {
		return fmt.Errorf("sysctl without a name or a value")
	}
	if linux, ok := bsdSysctl(name); ok {
		for _, n := range linux {
			fx.sysctls = append(fx.sysctls, sysctlSetting{n, value})
		}
		return nil
	}
	if !hostSysctl(name, value) {
		fx.sysctls = append(fx.sysctls, sysctlSetting{name, value})
	}
	return nil
}

// defaults are the settings of the script defaults.sh that suites begin with.
func (fx *shellEffect) defaults() {
	fx.sysctls = append(fx.sysctls,
		sysctlSetting{"net.ipv4.tcp_rmem", "4096 540000 15728640"},
		sysctlSetting{"net.ipv4.tcp_wmem", "4096 262144 4194304"},
		sysctlSetting{"net.ipv4.tcp_congestion_control", "cubic"},
		sysctlSetting{"net.ipv4.tcp_slow_start_after_idle", "0"},
		sysctlSetting{"net.ipv4.tcp_ecn", "0"},
		sysctlSetting{"net.ipv4.tcp_timestamps", "1"},
		sysctlSetting{"net.ipv4.tcp_sack", "1"},
		sysctlSetting{"net.ipv4.tcp_window_scaling", "1"},
	)
}

// wait interprets sleep: the time passes on the virtual clock.
func (fx *shellEffect) wait(name string, args []string) error {
	unit := time.Second
	if name == "usleep" {
		unit = time.Microsecond
	}
	for _, a := range args {
		f, err := strconv.ParseFloat(strings.TrimSuffix(a, "s"), 64)
		if err != nil || f < 0 || f > maxSeconds {
			return fmt.Errorf("%q is no time to sleep", a)
		}
		fx.sleep += time.Duration(f * float64(unit))
	}
	return nil
}

// ip lets pass what arranges addresses and routes of the host, sets what a route says of TCP for all connections, and
// refuses what would change a connection in another way.
func (fx *shellEffect) ip(args []string) error {
	for i, a := range args {
		value := ""
		if i+1 < len(args) {
			value = args[i+1]
		}
		switch a {
		case "initcwnd", "initrwnd":
			fx.sysctls = append(fx.sysctls, sysctlSetting{"net.ipv4.route." + a, value})
		case "rto_min":
			fx.sysctls = append(fx.sysctls, sysctlSetting{"net.ipv4.tcp_rto_min_ms", strings.TrimSuffix(value, "ms")})
		case "congctl":
			fx.sysctls = append(fx.sysctls, sysctlSetting{"net.ipv4.tcp_congestion_control", value})
		case "mtu", "quickack", "features", "window", "cwnd", "ssthresh", "advmss", "blackhole", "unreachable", "prohibit":
			return fmt.Errorf("ip %s: route property %s is not supported", strings.Join(args, " "), a)
		}
	}
	return nil
}
