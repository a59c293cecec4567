// Package report turns measurements into tables: plain text, Markdown, SVG and the benchmark
// format that benchstat reads, with the machine that they were made on, and says which of the
// project's goals they meet.
//
//	var r report.Report
//	r.Machine = report.ThisMachine()
//	r.Add(report.Key{Workload: "rtt", Procs: 1, Peer: "kernel"}, results)
//	r.Markdown(os.Stdout)
package report
