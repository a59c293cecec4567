package packetdrill

import (
	"os"
	"strconv"
	"testing"
)

func TestGenShow(t *testing.T) {
	seed, _ := strconv.Atoi(os.Getenv("SEED"))
	for _, f := range families() {
		if f.name != os.Getenv("FAM") && os.Getenv("FAM") != "" {
			continue
		}
		pl, err := generate(f, uint64(seed), IPv4)
		if err != nil {
			t.Fatal(f.name, err)
		}
		text, tie := pl.script("x")
		t.Logf("%v\n%s", tie, text)
	}
}
