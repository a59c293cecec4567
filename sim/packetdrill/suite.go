package packetdrill

import (
	"io/fs"
	"path"
	"strings"
	"testing"
)

// Run plays every *.pkt file below fsys, in a subtest each, once for every IP
// version that the script allows. The first options given apply to all; their
// IPVersion, if set, is the only one that runs.
func Run(t *testing.T, fsys fs.FS, newKernel func(Setup) (Kernel, error), opts ...Options) {
	t.Helper()
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	names, err := Scripts(fsys)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatal("no scripts")
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(name, ".pkt"), func(t *testing.T) {
			src, err := fs.ReadFile(fsys, name)
			if err != nil {
				t.Fatal(err)
			}
			runFile(t, name, string(src), newKernel, o)
		})
	}
}

func runFile(t *testing.T, name, src string, newKernel func(Setup) (Kernel, error), o Options) {
	t.Helper()
	script, err := ParseWith(name, src, o.Defines)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range script.Versions() {
		if o.IPVersion != "" && o.IPVersion != version {
			continue
		}
		t.Run(string(version), func(t *testing.T) {
			o := o
			o.IPVersion = version
			if err := script.Run(newKernel, o); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

// Scripts lists the *.pkt files below fsys, in lexical order.
func Scripts(fsys fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path.Ext(name) == ".pkt" {
			names = append(names, name)
		}
		return err
	})
	return names, err
}
