package main

import (
	"os"

	"example.com/loopback/sim/packetdrill"
)

// scriptCmd is lo script.
type scriptCmd struct {
	Files   []string          `arg:"" name:"file" help:"Scripts in packetdrill's language."`
	Version string            `enum:",ipv4,ipv4-mapped-ipv6,ipv6" default:"" help:"Play as ipv4, ipv4-mapped-ipv6 or ipv6 only; by default as every version that the script allows."`
	Exact   bool              `help:"Ask for exact times: no tolerance."`
	Lenient bool              `help:"Join adjacent segments: what counts is which bytes are sent when, not how they are cut."`
	Define  map[string]string `short:"D" placeholder:"NAME=VALUE" help:"Define a name for the scripts."`
}

// Help implements kong.HelpProvider.
func (x *scriptCmd) Help() string {
	return `Examples:

    lo script sim/packetdrill/testdata/handshake/*.pkt
    lo script --version ipv6 --exact close.pkt

Each script runs on a computer of its own, in virtual time. The exit status is 1 if one fails, and says where and why.`
}

// Run implements the command.
func (x *scriptCmd) Run(out *output) error {
	failed := 0
	for _, file := range x.Files {
		src, err := os.ReadFile(file)
		if err != nil {
			return usageError("%v", err)
		}
		script, err := packetdrill.Parse(file, string(src))
		if err != nil {
			return usageError("%v", err)
		}
		versions := script.Versions()
		if x.Version != "" {
			versions = []packetdrill.IPVersion{packetdrill.IPVersion(x.Version)}
		}
		for _, v := range versions {
			o := packetdrill.Options{IPVersion: v, Exact: x.Exact, Lenient: x.Lenient, Defines: x.Define, Seed: 1}
			if err := script.Run(packetdrill.NewStack, o); err != nil {
				failed++
				out.printf("FAIL %s (%s)\n%v\n", file, v, err)
				continue
			}
			out.printf("ok   %s (%s)\n", file, v)
		}
	}
	if failed > 0 {
		return errSilent
	}
	return nil
}
