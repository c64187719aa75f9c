package freshness

import (
	"context"
	"sync"
	"testing"
	"testing/quick"
	"time"
)

var (
	noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	past = noon.Add(-time.Minute)
)

func TestMerge(t *testing.T) {
	for name, tc := range map[string]struct{ a, b, want Facts }{
		"nothing":                  {},
		"the larger lag":           {Facts{Lag: 1}, Facts{Lag: 2}, Facts{Lag: 2}},
		"unknown stays":            {Facts{Lag: 1}, Facts{Unknown: true}, Facts{Lag: 1, Unknown: true}},
		"the earlier snapshot":     {Facts{Since: noon}, Facts{Since: past}, Facts{Since: past}},
		"none is not the earliest": {Facts{Since: noon}, Facts{}, Facts{Since: noon}},
		"pending stays":            {Facts{Pending: true}, Facts{}, Facts{Pending: true}},
		"the later write":          {Facts{WroteAt: noon}, Facts{WroteAt: past}, Facts{WroteAt: noon}},
		"each field for itself":    {Facts{Lag: 1, Since: past}, Facts{WroteAt: noon}, Facts{Lag: 1, Since: past, WroteAt: noon}},
	} {
		if got := tc.a.Merge(tc.b); got != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
		if got := tc.b.Merge(tc.a); got != tc.want {
			t.Errorf("%s, the other way round: %+v", name, got)
		}
	}
}

func facts(lag uint16, since, wrote uint8, unknown, pending bool) Facts {
	at := func(n uint8) time.Time {
		if n%4 == 0 {
			return time.Time{}
		}
		return noon.Add(time.Duration(n) * time.Second)
	}
	return Facts{Lag: time.Duration(lag), Unknown: unknown, Since: at(since), Pending: pending, WroteAt: at(wrote)}
}

// In whatever order and however often reports come, the outcome is the same, and no report makes anything fresher.
func TestMergeLaws(t *testing.T) {
	holds := func(l1, l2, l3 uint16, s1, s2, s3, w1, w2, w3 uint8, u1, u2, u3, p1, p2, p3 bool) bool {
		a, b, c := facts(l1, s1, w1, u1, p1), facts(l2, s2, w2, u2, p2), facts(l3, s3, w3, u3, p3)
		ab := a.Merge(b)
		return ab == b.Merge(a) && ab.Merge(c) == a.Merge(b.Merge(c)) && ab.Merge(a) == ab && a.Merge(Facts{}) == a &&
			ab.Lag >= a.Lag && (ab.Unknown || !a.Unknown) && (ab.Pending || !a.Pending) && !ab.WroteAt.Before(a.WroteAt) &&
			(a.Since.IsZero() || !ab.Since.After(a.Since))
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func TestSilenceIsNotFreshness(t *testing.T) {
	for name, tc := range map[string]struct {
		reports []Facts
		want    Facts
		read    bool
	}{
		"nothing reported":       {},
		"read, not behind":       {[]Facts{{}}, Facts{}, true},
		"only a write":           {[]Facts{{WroteAt: noon}}, Facts{WroteAt: noon}, false},
		"a write and a read":     {[]Facts{{WroteAt: noon}, {Lag: 2}}, Facts{Lag: 2, WroteAt: noon}, true},
		"both in one report":     {[]Facts{{Since: past, WroteAt: noon}}, Facts{Since: past, WroteAt: noon}, true},
		"read, unknown, pending": {[]Facts{{Unknown: true}, {Pending: true}}, Facts{Unknown: true, Pending: true}, true},
	} {
		var r Recorder
		ctx := With(t.Context(), &r)
		for _, f := range tc.reports {
			Record(ctx, f)
		}
		if got, read := r.Facts(); got != tc.want || read != tc.read {
			t.Errorf("%s: %+v, %v", name, got, read)
		}
	}
}

// A load inside a request: what it reads concerns both, what the request read before concerns the request alone. That
// also holds when the load outlives the request's context.
func TestNesting(t *testing.T) {
	var page, load Recorder
	outer := With(t.Context(), &page)
	Record(outer, Facts{Lag: 5, WroteAt: noon})
	inner := context.WithoutCancel(With(outer, &load))
	if f, read := Recorded(inner); f != (Facts{WroteAt: noon}) || read {
		t.Errorf("before it read: %+v, %v; want the write of the request and no read", f, read)
	}
	Record(inner, Facts{Lag: 2, WroteAt: past})
	for name, tc := range map[string]struct{ got, want Facts }{
		"load":            {first(load.Facts()), Facts{Lag: 2, WroteAt: past}},
		"page":            {first(page.Facts()), Facts{Lag: 5, WroteAt: noon}},
		"asked in load":   {first(Recorded(inner)), Facts{Lag: 2, WroteAt: noon}},
		"asked in page":   {first(Recorded(outer)), Facts{Lag: 5, WroteAt: noon}},
		"asked out of it": {first(Recorded(t.Context())), Facts{}},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, tc.got, tc.want)
		}
	}
	Record(inner, Facts{Unknown: true})
	if f, _ := page.Facts(); !f.Unknown {
		t.Error("what the load does not know reached no further than the load")
	}
	if !Recording(inner) || !Recording(outer) || Recording(t.Context()) {
		t.Error("Recording tells something else than whether there is a recorder")
	}
}

func first(f Facts, _ bool) Facts { return f }

func TestConcurrentReports(t *testing.T) {
	var page Recorder
	ctx := With(t.Context(), &page)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			var load Recorder
			inner := With(ctx, &load)
			for j := range 1000 {
				Record(inner, Facts{Lag: time.Duration(i*1000 + j), Since: noon.Add(time.Duration(-j)), Pending: i == 3})
				Recorded(inner)
			}
		})
	}
	group.Wait()
	if got, read := page.Facts(); got != (Facts{Lag: 7999, Since: noon.Add(-999), Pending: true}) || !read {
		t.Errorf("%+v, %v", got, read)
	}
}

// Case Xi: who records nothing pays nothing; who does, pays for With.
func TestAllocations(t *testing.T) {
	type other struct{}
	bare := context.WithValue(t.Context(), other{}, 1)
	recording := With(With(bare, &Recorder{}), &Recorder{})
	f := Facts{Lag: time.Second, Since: noon}
	for name, call := range map[string]func(){
		"Record, no recorder":    func() { Record(bare, f) },
		"Recording, no recorder": func() { Recording(bare) },
		"Recorded, no recorder":  func() { Recorded(bare) },
		"Record":                 func() { Record(recording, f) },
		"Recorded":               func() { Recorded(recording) },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	bare := b.Context()
	recording := With(With(bare, &Recorder{}), &Recorder{})
	f := Facts{Lag: time.Second, Since: noon}
	for name, ctx := range map[string]context.Context{"no recorder": bare, "two recorders": recording} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Record(ctx, f)
			}
		})
	}
}
