package breaker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var start = time.Now()

// play runs a script against a breaker, word by word: "s" a success, "f" a failure, "c" cancelled, "a" Admit says yes,
// "-" Admit says no, "wait" until half-open, "=STATE" what State must say, any duration goes by.
func play(t *testing.T, b *Breaker, now *time.Time, script string) {
	t.Helper()
	for i, word := range strings.Fields(script) {
		ok := true
		switch {
		case word == "s":
			b.Success(*now)
		case word == "f":
			b.Failure(*now)
		case word == "c":
			b.Cancelled(*now)
		case word == "a", word == "-":
			ok = b.Admit(*now) == (word == "a")
		case word == "wait":
			*now = now.Add(b.RetryIn(*now))
		case word[0] == '=':
			ok = b.State(*now).String() == word[1:]
		default:
			d, err := time.ParseDuration(word)
			if err != nil {
				t.Fatal(err)
			}
			*now = now.Add(d)
		}
		if !ok {
			t.Fatalf("word %d, %q of %q: state %v, half-open in %v", i, word, script, b.State(*now), b.RetryIn(*now))
		}
	}
}

func TestTransitions(t *testing.T) {
	for name, script := range map[string]string{
		"closed lets all through":                         "=closed a a a s =closed",
		"three failures in a row open":                    "f f =closed a f =open -",
		"a success between them":                          "f f s f f =closed f =open",
		"nothing goes through before its time":            "f f f 799ms =open - wait =half-open",
		"one goes through, and no second":                 "f f f wait a - - =open",
		"its success closes":                              "f f f wait a s =closed a a",
		"its failure opens":                               "f f f wait a f =open - wait =half-open a",
		"its end without an outcome lets the next go":     "f f f wait a 10ms c =half-open a -",
		"without any end the next goes after 2 s":         "f f f wait a 1999ms =open - 1ms =half-open a",
		"its late success counts while nobody else tries": "f f f wait a 3s =half-open s =closed",
		"its late failure too":                            "f f f wait a 3s f =open",
		"what was under way when it opened is ignored":    "f f f f f s c =open - wait =half-open f s c =half-open a s =closed",
		"closed again, it needs three failures again":     "f f f wait a s f f =closed f =open",
		"and those from before are forgotten":             "f f s f f s f f s f f s f f s f f s f f f =open wait a s s f =closed",
		"cancelled says nothing while closed":             "f f c =closed f =open",
		"failures far apart are a row too":                "f 1h f 1h f =open",
	} {
		t.Run(name, func(t *testing.T) {
			now := start
			play(t, &Breaker{}, &now, script)
		})
	}
}

// Half of at least 20 attempts of the last 10 s; judged at a failure. No three failures follow each other.
func TestShareOfFailuresOpens(t *testing.T) {
	for name, script := range map[string]string{
		"10 of 20":           "s " + strings.Repeat("s f ", 9) + "=closed f =open",
		"9 of 18":            strings.Repeat("s f ", 9) + "=closed",
		"10 of 21":           "s s " + strings.Repeat("s f ", 9) + "f =closed",
		"spread over 9 s":    "s " + strings.Repeat("s f 1s ", 9) + "f =open",
		"older ones are out": "s f s f 11s " + strings.Repeat("s f ", 8) + "f =closed",
		"case 54":            strings.Repeat("f f s ", 6) + "=closed f s f =open",
	} {
		t.Run(name, func(t *testing.T) {
			now := base.Add(start.Sub(base).Truncate(time.Second)) // where the window begins a second
			play(t, &Breaker{}, &now, script)
		})
	}
}

// Case 51: 1 s, then twice as long after each try that fails, up to 30 s; ±20 %. A success ends it.
func TestWaitsDouble(t *testing.T) {
	b, now, seen := &Breaker{}, start, map[time.Duration]bool{}
	for range 2 {
		play(t, b, &now, "f f f")
		for i, seconds := range []int{1, 2, 4, 8, 16, 30, 30, 30} {
			want := time.Duration(seconds) * time.Second
			wait := b.RetryIn(now)
			seen[wait%time.Second] = true
			if wait < want*8/10-1 || wait > want*12/10 {
				t.Errorf("wait %d is %v, want %v ± 20 %%", i+1, wait, want)
			}
			play(t, b, &now, "wait a f")
		}
		play(t, b, &now, "wait a s")
	}
	if len(seen) < 5 {
		t.Errorf("16 waits with %d different fractions: processes would come back together", len(seen))
	}
}

// Case 51: the weight after an outage.
func TestWeightRamps(t *testing.T) {
	b, now := &Breaker{}, start
	expect := func(want float64) {
		t.Helper()
		if got := b.Weight(now); got < want-1e-6 || got > want+1e-6 {
			t.Errorf("weight %v, want %v", got, want)
		}
	}
	expect(1)
	play(t, b, &now, "f f f")
	expect(0)
	play(t, b, &now, "wait")
	expect(0.1)
	play(t, b, &now, "a")
	expect(0)
	play(t, b, &now, "s")
	for _, want := range []float64{0.1, 0.28, 0.46, 0.64, 0.82, 1, 1, 1} {
		expect(want)
		now = now.Add(time.Second)
	}
	if got := b.Weight(start.Add(-time.Hour)); got != 0.1 {
		t.Errorf("weight %v for a caller whose clock was read earlier, want 0.1", got)
	}
}

func TestRetryIn(t *testing.T) {
	b, now := &Breaker{}, start
	if got := b.RetryIn(now); got != 0 {
		t.Errorf("closed: %v", got)
	}
	play(t, b, &now, "f f f wait")
	if got := b.RetryIn(now); got != 0 {
		t.Errorf("half-open: %v", got)
	}
	play(t, b, &now, "a 500ms")
	if got := b.RetryIn(now); got < 1499*time.Millisecond || got > 1501*time.Millisecond {
		t.Errorf("half a second after one was let through: %v, want 1.5s", got)
	}
	play(t, b, &now, "s")
	if got := b.RetryIn(now); got != 0 {
		t.Errorf("closed again: %v", got)
	}
}

// Times of a bubble have no monotonic part, and lie before this process's start.
func TestInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, now := &Breaker{}, time.Now()
		play(t, b, &now, "f f f =open - wait a f =open wait =half-open a s =closed")
		now = time.Now()
		play(t, b, &now, strings.Repeat("s f ", 10)+"=open")
	})
}

func TestNothingAllocates(t *testing.T) {
	closed, open := &Breaker{}, &Breaker{}
	for range inARow {
		open.Failure(start)
	}
	for name, call := range map[string]func(b *Breaker){
		"State": func(b *Breaker) { b.State(start) }, "Weight": func(b *Breaker) { b.Weight(start) },
		"Admit": func(b *Breaker) { b.Admit(start.Add(time.Hour)) }, "RetryIn": func(b *Breaker) { b.RetryIn(start) },
		"Success": func(b *Breaker) { b.Success(start) }, "Failure": func(b *Breaker) { b.Failure(start) },
		"Cancelled": func(b *Breaker) { b.Cancelled(start) },
	} {
		for _, b := range []*Breaker{closed, open} {
			if n := testing.AllocsPerRun(100, func() { call(b) }); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	}
}

func TestStatesHaveNames(t *testing.T) {
	if got := fmt.Sprint(Closed, Open, HalfOpen); got != "closed open half-open" {
		t.Error(got)
	}
}
