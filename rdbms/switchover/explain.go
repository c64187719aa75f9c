package switchover

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Explanation says what a State holds, how good it is, and why.
type Explanation struct {
	DC       string        `json:"dc"`
	Loaded   bool          `json:"loaded"`
	Doc      *Doc          `json:"doc,omitempty"`      // nil if never loaded
	Age      time.Duration `json:"age_ns"`             // since the last good read began
	MaxStale time.Duration `json:"max_stale_ns"`       // negative = no fence
	Fenced   bool          `json:"fenced"`             // writes are refused as the state is too old
	ReadOnly string        `json:"read_only"`          // why the own DC takes no writes; "" = it does
	Error    string        `json:"error,omitempty"`    // of the last read; "" = it was good
	ErrorAt  time.Time     `json:"error_at,omitzero"`  // when it failed
	Running  bool          `json:"running"`            // Run is under way
	Watching bool          `json:"watching"`           // the store can tell of changes
	Warnings []string      `json:"warnings,omitempty"` // what an operator should look at
}

// Explain asks nobody: it tells what is known in this process.
func (s *State) Explain(ctx context.Context) Explanation {
	e := Explanation{DC: s.opts.DC, MaxStale: s.opts.MaxStale, Watching: s.watcher != nil}
	s.mu.Lock()
	if s.lastErr != nil {
		e.Error, e.ErrorAt = s.lastErr.Error(), s.lastAt
	}
	e.Running = s.runs != nil
	s.mu.Unlock()
	if v := s.view.Load(); v != nil {
		doc := v.doc.clone()
		e.Doc, e.Loaded, e.Age, e.Fenced = &doc, true, time.Since(v.readAt), s.isStale(v)
	}
	var err error
	if e.ReadOnly, err = s.ReadOnly(ctx); err != nil {
		e.ReadOnly = "state not loaded"
	}
	e.Warnings = e.findWarnings()
	return e
}

func (e Explanation) findWarnings() (w []string) {
	if !e.Running {
		w = append(w, "Run is not under way: nothing keeps the state fresh")
	}
	if e.Doc == nil {
		return w
	}
	if _, listed := e.Doc.DCs[e.DC]; !listed {
		w = append(w, "DC "+e.DC+", this process's own, is not in the document: it takes no writes")
	}
	return w
}

// String reads like a page.
func (e Explanation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "state of DC %s: %s\n", e.DC, e.verdict())
	if e.Doc != nil {
		e.Doc.describe(&b)
	}
	if e.Error != "" {
		fmt.Fprintf(&b, "  last read failed at %s: %s\n", stampText(e.ErrorAt), e.Error)
	}
	for _, w := range e.Warnings {
		fmt.Fprintf(&b, "  look at this: %s\n", w)
	}
	return b.String()
}

func (e Explanation) verdict() string {
	switch {
	case !e.Loaded:
		return "never loaded, writes are refused"
	case e.Fenced:
		return fmt.Sprintf("fenced, writes are refused: read %v ago, at most %v are allowed", e.Age.Round(time.Millisecond), e.MaxStale)
	case e.ReadOnly != "":
		return fmt.Sprintf("read %v ago; read-only here: %s", e.Age.Round(time.Millisecond), e.ReadOnly)
	}
	return fmt.Sprintf("read %v ago; writable", e.Age.Round(time.Millisecond))
}

func (d *Doc) describe(b *strings.Builder) {
	fmt.Fprintf(b, "  primary %s since epoch %d; epoch now %d", d.Primary, d.PrimaryEpoch, d.Epoch)
	if d.Updated.By != "" {
		fmt.Fprintf(b, ", written by %s at %s", d.Updated.By, stampText(d.Updated.At))
	}
	b.WriteByte('\n')
	if w := d.ReadOnly; w != nil {
		fmt.Fprintf(b, "  read-only everywhere: %s%s\n", w.Reason, w.bounds())
	}
	for _, name := range slices.Sorted(maps.Keys(d.DCs)) {
		dc, pooled := d.DCs[name], "pooled"
		if !dc.Pooled {
			pooled = "not pooled"
		}
		fmt.Fprintf(b, "  DC %s: %s%s\n", name, pooled, prefixed(", read-only: ", dc.ReadOnly))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Sections)) {
		fmt.Fprintf(b, "  section %s: read-only: %s\n", name, d.Sections[name])
	}
	if d.Rollout != nil {
		fmt.Fprintf(b, "  rollout is overridden for %d hosts; default: %t\n", len(d.Rollout.Hosts), d.Rollout.Default != nil)
	}
}

func (w *Window) bounds() string {
	return prefixed(", since ", stampText(w.Since)) + prefixed(", until ", stampText(w.Until)) + prefixed(", by ", w.By)
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
