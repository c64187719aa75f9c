package rdbmstest

import (
	"strings"
	"sync"
	"time"
)

var positionTests = []engineTest{
	{name: "written rises", run: positionWritten, positions: true},
	{name: "applied follows", run: positionApplied, positions: true},
	{name: "the primary has what it has written", run: positionPrimary, positions: true},
	{name: "held back", run: positionHeld, positions: true},
	{name: "order", run: positionOrder, positions: true},
	{name: "merge", run: positionMerge, positions: true},
	{name: "several goroutines", run: positionParallel, positions: true},
}

// sample is a chain of positions, each after one write more.
func (b *bench) sample() []string {
	b.Helper()
	const enough = 4
	var list []string
	for range enough {
		b.write()
		list = append(list, b.written())
	}
	return list
}

// await lets the replica reach a position.
func (b *bench) await(want string) {
	b.Helper()
	for !b.reached(b.applied(b.Replica), want) {
		b.replicate()
		select {
		case <-b.ctx.Done():
			b.Fatalf("the replica has all that the primary has, and has still not reached %q but %q", want, b.applied(b.Replica))
		case <-time.After(time.Millisecond):
		}
	}
}

func positionWritten(b *bench) {
	list := b.sample()
	for i, later := range list {
		b.wellFormed(later)
		for j, earlier := range list {
			b.expect(j <= i, later, earlier, "positions after one write each")
		}
	}
}

// maxPosition is the bound of a text, its prefix not counted.
const maxPosition = 4096

func (b *bench) wellFormed(text string) {
	b.Helper()
	if text == "" {
		b.Error(`the position is "" after a write: say so in EngineHarness.NoPositions`)
	}
	if len(text) > maxPosition+len("m1:") {
		b.Errorf("the position has %d bytes, more than %d", len(text), maxPosition)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		b.Errorf("the position %q is not printable ASCII without blanks", text)
	}
}

func positionApplied(b *bench) {
	b.write()
	want := b.written()
	b.replicate()
	b.await(want)
	have := b.applied(b.Replica)
	b.wellFormed(have)
	b.write()
	b.replicate()
	b.await(b.written())
	b.expect(true, b.applied(b.Replica), have, "a replica's position, later and earlier")
}

func positionPrimary(b *bench) {
	b.write()
	b.expect(true, b.applied(b.Primary), b.written(), "the primary itself")
}

// What the replica does not have it must not claim.
func positionHeld(b *bench) {
	if b.Hold == nil {
		return
	}
	b.write()
	b.replicate()
	release := b.Hold()
	b.write()
	want := b.written()
	for range 3 {
		b.expect(false, b.applied(b.Replica), want, "the replica does not have the last write")
		b.expect(false, b.probe(b.Replica).Applied, want, "Probe of a replica that does not have the last write")
	}
	release()
	b.replicate()
	b.await(want)
}

func positionOrder(b *bench) {
	for _, p := range b.sample() {
		b.expect(true, p, p, "a position and itself")
		b.expect(true, p, "", "nothing is always reached")
		b.expect(false, "", p, "nothing has reached nothing but itself")
	}
	b.expect(true, "", "", "nothing and itself")
}

// Merge's laws hold up to Reached: two texts may say the same.
func positionMerge(b *bench) {
	list := append(b.sample(), "")
	for _, x := range list {
		b.same(b.merged(x, x), x, "Merge(x, x) and x")
		b.same(b.merged(x, ""), x, "Merge(x, nothing) and x")
		for _, y := range list {
			xy := b.merged(x, y)
			b.expect(true, xy, x, "Merge includes its first argument")
			b.expect(true, xy, y, "Merge includes its second argument")
			b.same(xy, b.merged(y, x), "Merge(x, y) and Merge(y, x)")
			for _, z := range list {
				b.same(b.merged(xy, z), b.merged(x, b.merged(y, z)), "Merge in either order")
				// The smallest one: who has both has it.
				if b.reached(z, x) && b.reached(z, y) {
					b.expect(true, z, xy, "who has reached both has reached their Merge")
				}
			}
		}
	}
}

func (b *bench) same(x, y, what string) {
	b.Helper()
	b.expect(true, x, y, what)
	b.expect(true, y, x, what)
}

// The engine is one, and is used by many.
func positionParallel(b *bench) {
	list := b.sample()
	first, last := list[0], list[len(list)-1]
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				ok, err := b.engine.Reached(last, first)
				merged, mergeErr := b.engine.Merge(first, last)
				if err != nil || mergeErr != nil || !ok || merged == "" {
					b.Errorf("Reached %t, %v; Merge %q, %v", ok, err, merged, mergeErr)
					return
				}
			}
		})
		for name, ask := range b.asks() {
			all.Go(func() {
				conn, err := b.Replica.Conn(b.ctx)
				if err != nil {
					b.Errorf("connecting: %v", err)
					return
				}
				defer conn.Close()
				if err := ask(b.ctx, conn); err != nil && name != "Written" { // which is for primaries
					b.Errorf("%s: %v", name, err)
				}
			})
		}
	}
	all.Wait()
}

var textTests = []engineTest{
	{name: "foreign texts", run: textForeign},
	{name: "malformed texts", run: textMalformed},
}

// No engine understands these.
var foreign = []string{
	"no-such-form:1", "zz9:0-1-1", ":", "0", "null", "{}", "\x00", "\xff\xfe", " ", "%s", strings.Repeat("9", 3*maxPosition),
}

func textForeign(b *bench) { b.refused(foreign) }

func textMalformed(b *bench) {
	for _, text := range b.h.Malformed {
		if text == "" {
			b.Error(`EngineHarness.Malformed has "": that is well formed, no position at all`)
		}
	}
	b.refused(b.h.Malformed)
}

// refused wants an error, never a panic and never true, on either side of anything.
func (b *bench) refused(texts []string) {
	b.Helper()
	good := ""
	if !b.h.NoPositions {
		b.write()
		good = b.written()
	}
	for _, text := range texts {
		for _, pair := range [][2]string{{text, good}, {good, text}, {text, text}, {text, ""}, {"", text}} {
			if ok, err := b.engine.Reached(pair[0], pair[1]); ok || err == nil {
				b.Errorf("Reached(%.40q, %.40q) is %t, %v; want an error", pair[0], pair[1], ok, err)
			}
			if merged, err := b.engine.Merge(pair[0], pair[1]); merged != "" || err == nil {
				b.Errorf("Merge(%.40q, %.40q) is %.40q, %v; want an error alone", pair[0], pair[1], merged, err)
			}
		}
	}
}
