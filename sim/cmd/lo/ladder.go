package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"example.com/loopback/sim/ladder"
)

// writeLadders writes the charts to a text file, one below the other, or, as a picture has one, each to a file of its own:
// x.svg, x-2.svg and so on. Without a connection there is no picture.
func writeLadders(charts []ladder.Chart, name string) error {
	var all bytes.Buffer
	ext := filepath.Ext(name)
	for i := range charts {
		c := &charts[i]
		if ext == ".txt" {
			if i > 0 {
				all.WriteByte('\n')
			}
			if err := c.WriteText(&all); err != nil {
				return err
			}
			continue
		}
		to := name
		if i > 0 {
			to = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, ext), i+1, ext)
		}
		all.Reset()
		if err := c.WriteSVG(&all); err != nil {
			return err
		}
		if err := os.WriteFile(to, all.Bytes(), 0o666); err != nil {
			return err
		}
	}
	if ext == ".txt" {
		return os.WriteFile(name, all.Bytes(), 0o666)
	}
	return nil
}
