package kafkalog

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

func at(offset int64) record {
	return record{Message: Message{Offset: offset, Time: time.Unix(offset, 0)}}
}

// told is what a queue hands out, in short: offsets, and gaps with their ends.
func told(q *queue, n int) string {
	var out []string
	for {
		b, ok := q.give(n, time.Unix(1000, 0))
		if !ok {
			return strings.Join(out, " ")
		}
		if b.Gap != nil {
			out = append(out, fmt.Sprintf("[%d-%d %d]", b.Gap.From, b.Gap.To, b.Gap.Until.Unix()))
			continue
		}
		var offsets []string
		for _, m := range b.Messages {
			offsets = append(offsets, strconv.FormatInt(m.Offset, 10))
		}
		out = append(out, strings.Join(offsets, ","))
	}
}

func TestQueue(t *testing.T) {
	marker := at(6)
	marker.marker = true
	start := func() *Gap { return &Gap{Kind: Lost, From: -1, To: 5, Until: time.Unix(1, 0)} }
	for _, tc := range []struct {
		name    string
		gap     *Gap
		records []record
		want    string
	}{
		{"successors", nil, []record{at(5), at(6), at(7)}, "5,6,7"},
		{"a batch that begins earlier", nil, []record{at(3), at(4), at(5)}, "5"},
		{"two at a time are not more", nil, []record{at(5), at(6), at(7), at(8)}, "5,6,7 8"},
		{"one is missing", nil, []record{at(5), at(7)}, "5 [6-7 7] 7"},
		{"the first is missing", nil, []record{at(6)}, "[5-6 6] 6"},
		{"a marker is not missing", nil, []record{at(5), marker, at(7)}, "5,7"},
		{"a gap before all", &Gap{From: 2, To: 5}, []record{at(5), at(6)}, "[2-5 5] 5,6"},
		{"a gap before a marker", &Gap{From: 2, To: 5}, []record{marker, at(7)}, "[2-5 6] 7"},
		{"a gap whose end is known", start(), []record{at(5)}, "[-1-5 1] 5"},
		{"a gap and nothing", &Gap{From: 2, To: 5}, nil, "[2-5 1000]"},
		{"a gap whose end is known, and nothing", start(), nil, "[-1-5 1]"},
		{"nothing", nil, nil, ""},
	} {
		var q queue
		q.move(5, tc.gap)
		q.take(tc.records)
		if got := told(&q, 3); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// Whatever is missing: each offset from the first to the last is handed out once, or lies in a gap, in order.
func TestQueueTellsOfEveryOffset(t *testing.T) {
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 2))
		var q queue
		q.move(0, nil)
		next, written := int64(0), int64(0)
		for range 60 {
			var records []record
			for range dice.IntN(5) {
				written += int64(dice.IntN(5) / 4)
				records = append(records, at(written))
				written++
			}
			if len(records) > 0 && dice.IntN(3) == 0 { // the batch comes again, from its beginning
				q.take(records[:1+dice.IntN(len(records))])
			}
			q.take(records)
			for {
				b, ok := q.give(1+dice.IntN(4), time.Now())
				if !ok {
					break
				}
				if b.Gap != nil {
					if b.Gap.From != next || b.Gap.To <= next {
						t.Fatalf("seed %d: %v at %d", seed, b.Gap, next)
					}
					next = b.Gap.To
				}
				for _, m := range b.Messages {
					if m.Offset != next {
						t.Fatalf("seed %d: message %d at %d", seed, m.Offset, next)
					}
					next++
				}
			}
		}
		if next != q.next {
			t.Fatalf("seed %d: handed out up to %d of %d", seed, next, q.next)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Brokers: []string{"h:1"}, Topic: "t", Group: "g"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Options){
		"Brokers": func(o *Options) { o.Brokers = nil },
		"Topic":   func(o *Options) { o.Topic = "" },
		"Group":   func(o *Options) { o.Group = "" },
		"Linger":  func(o *Options) { o.Linger = -1 },
		"Batch":   func(o *Options) { o.Batch = -1 },
		"Window":  func(o *Options) { o.StartWindow = -1 },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
