package simtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// seedRange is the seeds first, first+step, … up to last.
type seedRange struct{ first, last, step uint64 }

// parseRange reads "7", "1-1000" or, as explore writes for its workers, "1-1000/4".
func parseRange(s string) (r seedRange, err error) {
	bad := fmt.Errorf("-loopback.seeds=%s is no range of seeds such as 1-1000", s)
	span, step, stepped := strings.Cut(s, "/")
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		to = from
	}
	r.step = 1
	if r.first, err = strconv.ParseUint(from, 10, 64); err != nil {
		return r, bad
	}
	if r.last, err = strconv.ParseUint(to, 10, 64); err != nil {
		return r, bad
	}
	if stepped {
		if r.step, err = strconv.ParseUint(step, 10, 64); err != nil {
			return r, bad
		}
	}
	if r.first == 0 || r.last < r.first || r.step == 0 || r.last+r.step < r.last {
		return r, bad
	}
	return r, nil
}

func (r seedRange) String() string {
	s := fmt.Sprintf("%d-%d", r.first, r.last)
	if r.step != 1 {
		s += fmt.Sprintf("/%d", r.step)
	}
	return s
}

// part is the i-th of n interleaved parts; ok is false when there is nothing in it.
func (r seedRange) part(i, n uint64) (p seedRange, ok bool) {
	if i > (r.last-r.first)/r.step {
		return p, false
	}
	p = seedRange{r.first + i*r.step, r.last, r.step * n}
	if n > (p.last-p.first)/r.step { // one seed; r.step * n may be too much for a number
		p = seedRange{p.first, p.first, 1}
	}
	return p, true
}

// shard returns which of how many machines this is, of what the environment says.
func shard(getenv func(string) string) (i, n uint64, err error) {
	for _, names := range [][2]string{{"TEST_SHARD_INDEX", "TEST_TOTAL_SHARDS"}, {"JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"}} {
		index, total := getenv(names[0]), getenv(names[1])
		if index == "" || total == "" {
			continue
		}
		i, err1 := strconv.ParseUint(index, 10, 32)
		n, err2 := strconv.ParseUint(total, 10, 32)
		if err1 != nil || err2 != nil || i >= n {
			return 0, 1, fmt.Errorf("%s=%s of %s=%s is no shard", names[0], index, names[1], total)
		}
		// Bazel wants to be told that the shards are known.
		if status := getenv("TEST_SHARD_STATUS_FILE"); status != "" {
			if err := os.WriteFile(status, nil, 0o666); err != nil {
				return 0, 1, err
			}
		}
		return i, n, nil
	}
	return 0, 1, nil
}
