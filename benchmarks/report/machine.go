package report

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Machine describes where and when numbers were made.
type Machine struct {
	CPU    string
	Cores  int // that Go may use
	OS     string
	Arch   string
	Kernel string
	Go     string
	Load   string // the load average when the run began, where the system tells
	Date   time.Time
}

// ThisMachine describes the machine that runs.
func ThisMachine() Machine {
	return Machine{
		CPU:    cpuModel(),
		Cores:  runtime.NumCPU(),
		OS:     runtime.GOOS,
		Arch:   runtime.GOARCH,
		Kernel: firstLine("/proc/sys/kernel/osrelease"),
		Go:     runtime.Version(),
		Load:   load(),
		Date:   time.Now(),
	}
}

// String is the description in one line.
func (m Machine) String() string {
	s := fmt.Sprintf("%s, %d cores, %s/%s", m.CPU, m.Cores, m.OS, m.Arch)
	if m.Kernel != "" {
		s += ", kernel " + m.Kernel
	}
	s += ", " + m.Go + ", " + m.Date.Format("2006-01-02 15:04 MST")
	if m.Load != "" {
		s += ", load when it began " + m.Load
	}
	return s
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	defer f.Close()
	var family, model string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "model name":
			// Virtual machines often hide the number; family and model tell the generation.
			if family == "" || model == "" {
				return value
			}
			return fmt.Sprintf("%s (family %s, model %s)", value, family, model)
		case "cpu family":
			family = value
		case "model":
			model = value
		}
	}
	return "unknown CPU"
}

func load() string {
	fields := strings.Fields(firstLine("/proc/loadavg"))
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

// firstLine returns the first line of a file, or nothing if there is none.
func firstLine(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}
