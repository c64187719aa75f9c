package dcroute

import (
	"context"
	"testing"
	"time"
)

// unsure does not know what is read-only.
type unsure struct{ *Memory }

func (unsure) ReadOnlyFor(context.Context, string, string) (string, time.Time, error) {
	return "", time.Time{}, errStale
}

// FORMAT.md's table "Who is right", row by row, at DC b.
func TestReceiver(t *testing.T) {
	const ours = 5
	for _, c := range []struct {
		name    string
		primary string
		err     error
		hop     hop // from a, now, where nothing else is said
		read    string
		write   string
		behind  bool
	}{
		{"forwarded twice", "b", nil, hop{to: "b", count: 2, epoch: ours}, "refuse loop 508", "refuse loop 508", false},
		{"forwarded nine times", "a", nil, hop{to: "b", count: 9, epoch: 9}, "refuse loop 508", "refuse loop 508", false},
		{"to another DC", "b", nil, hop{to: "c", epoch: ours}, "refuse hop-misdirected 421", "refuse hop-misdirected 421", false},
		{"to the primary", "b", nil, hop{to: "b", epoch: ours}, "local hop 0", "local hop 0", false},
		{"to the primary, by an old state", "b", nil, hop{to: "b", epoch: 1}, "local hop 0", "local hop 0", false},
		{"to the primary, by a newer state", "b", nil, hop{to: "b", epoch: 9}, "local hop 0", "local hop 0", false},
		{"to the primary of a stale state", "b", errStale, hop{to: "b", epoch: ours}, "local hop 0", "refuse state-unknown 503", false},
		{"by force, to the primary", "b", nil, hop{to: "b"}, "local hop 0", "local hop 0", false},
		{"by force", "a", nil, hop{to: "b"}, "local hop 0", "refuse hop-disagree 508", false},
		{"by force, state unknown", "", nil, hop{to: "b"}, "local hop 0", "refuse hop-disagree 508", false},
		{"the sender's state is old", "a", nil, hop{to: "b", epoch: ours - 1}, "refuse hop-stale 421", "refuse hop-stale 421", false},
		{"equal epochs", "c", nil, hop{to: "b", epoch: ours}, "refuse hop-disagree 508", "refuse hop-disagree 508", false}, // case Xe
		{"our state is old", "a", nil, hop{to: "b", epoch: ours + 1}, "local hop 0", "refuse state-behind 503", true},
		{"our state is unknown", "", nil, hop{to: "b", epoch: 1}, "local hop 0", "refuse state-behind 503", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMemory(c.primary)
			m.Update(func(s *State) { s.Epoch, s.Err = ours, c.err })
			rt := newRouter(t, m, nil)
			c.hop.from, c.hop.issued, c.hop.count = "a", time.Now(), max(c.hop.count, 1)
			header := "X-DC-Hop: " + c.hop.sealed(testKey)
			for method, want := range map[string]string{"GET": c.read, "POST": c.write} {
				v := rt.judge(request(method, "/", header), nil)
				status := map[int]string{0: " 0", 421: " 421", 503: " 503", 508: " 508"}[v.Status]
				if got := short(v.Decision) + status; got != want || v.Entry != "a" || v.behind != c.behind || v.hop == nil {
					t.Errorf("%s: %s, want %s\n%+v", method, got, want, v)
				}
				if v.Reason == ReasonStateBehind && v.RetryAfter != time.Second {
					t.Errorf("Retry-After %v", v.RetryAfter)
				}
			}
		})
	}
}

// Whatever else would send it on: a request with a valid hop stays.
func TestNeverASecondForward(t *testing.T) {
	m := NewMemory("a")
	m.Update(func(s *State) { s.Depooled["b"] = true })
	rt := newRouter(t, m, func(o *Options) { o.Rules.Default.Mode = ModePrimary })
	h := hop{from: "c", to: "b", count: 1, issued: time.Now()}
	r := request("GET", "/", "Cookie: UseDC=primary; session=1", "Connection: upgrade", "Upgrade: x", "X-DC-Hop: "+h.sealed(testKey))
	if d := check(t, rt, r, "local hop"); d.Entry != "c" {
		t.Errorf("%+v", d)
	}
	m.Update(func(s *State) { s.Primary = "b"; s.ReadOnly["*"] = ReadOnlyInfo{Reason: "moving"} })
	r.Method = "POST"
	check(t, rt, r, "refuse read-only") // D5 applies
	r.Method = "PURGE"
	check(t, rt, r, "local purge") // so does D3
}
