package main

import "example.com/loopback/device"

// ifconfigCmd is lo ifconfig.
type ifconfigCmd struct {
	Format string `enum:"old,new,ip" default:"old" help:"old: as net-tools 1.60 prints it; new: as net-tools 2 does; ip: as ip -s link show."`
}

// Run implements the command.
func (x *ifconfigCmd) Run(f *computerFlags, out *output, diag *diagnostics) error {
	c, err := f.start(diag)
	if err != nil {
		return err
	}
	switch x.Format {
	case "new":
		out.printf("%s", device.IfconfigNew(c.NIC()))
	case "ip":
		out.printf("%s", device.IPLink(c.NIC()))
	default:
		out.printf("%s", device.IfconfigOld(c.NIC()))
	}
	return c.finish(nil)
}
