package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// progress shows how far the import is: a bar on a terminal, else now and then a line.
type progress struct {
	out     io.Writer
	bar     bool
	quarter int // last shown, without a bar
}

func newProgress(out io.Writer) *progress {
	f, ok := out.(*os.File)
	return &progress{out: out, bar: ok && term.IsTerminal(int(f.Fd()))}
}

func (p *progress) line(format string, args ...any) {
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *progress) at(done, total int) {
	const width = 40
	if p.bar {
		full := width * done / total
		fmt.Fprintf(p.out, "\rimporting [%s%s] %d/%d", strings.Repeat("█", full), strings.Repeat("░", width-full), done, total)
		return
	}
	if q := 4 * done / total; q > p.quarter {
		p.quarter = q
		p.line("importing: %d of %d documents", done, total)
	}
}

// end leaves the bar's line.
func (p *progress) end() {
	if p.bar {
		fmt.Fprintln(p.out)
	}
}
