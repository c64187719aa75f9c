package dcroute

import (
	"cmp"
	"strings"
	"testing"
	"time"
)

const hopVector = "v1.eqiad.codfw.1.42.1760000000000.way3XSSpYJo8imup1ssRbqboaGI83U4q1gaN8GSTeds"

// hopRouter is codfw's, at the time of the vector.
func hopRouter(tb testing.TB, keys ...[]byte) *Router {
	tb.Helper()
	rt, err := New(NewMemory("codfw"), &Options{
		DC: "codfw", Upstreams: map[string]Upstream{"eqiad": {Addrs: []string{"https://eqiad.example.net"}}}, HopKeys: keys,
		Now: func() time.Time { return time.UnixMilli(1760000000000) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}

func TestHopVector(t *testing.T) {
	rt := hopRouter(t, testKey)
	h, kind := rt.openHop([]string{hopVector})
	if kind != "" || h.from != "eqiad" || h.to != "codfw" || h.count != 1 || h.epoch != 42 || h.issued.UnixMilli() != 1760000000000 {
		t.Errorf("%+v %s", h, kind)
	}
	if got := h.sealed(testKey); got != hopVector {
		t.Errorf("got %s", got)
	}
	if got, want := rt.signHop("eqiad", 7), (hop{"codfw", "eqiad", 1, 7, h.issued}).sealed(testKey); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// The headers of testdata/golden, as codfw reads them at 1760000000000.
func TestHopGolden(t *testing.T) {
	rt := hopRouter(t, testKey)
	for _, line := range golden(t, "hops.txt") {
		want, text, _ := strings.Cut(line, " ")
		h, kind := rt.openHop([]string{text})
		if got := cmp.Or(string(kind), "valid"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if h != nil && h.sealed(testKey) != text {
			t.Errorf("%s: written as %s", text, h.sealed(testKey))
		}
	}
}

// Case 23.
func TestHopRejected(t *testing.T) {
	now := time.UnixMilli(1760000000000)
	good := hop{"eqiad", "codfw", 1, 42, now}
	with := func(change func(*hop)) string {
		h := good
		change(&h)
		return h.sealed(testKey)
	}
	other := []byte(strings.Repeat("x", 32))
	for _, c := range []struct {
		name string
		text string
		want HopKind
	}{
		{"good", hopVector, ""},
		{"retired key", good.sealed(other), HopMAC},
		{"forged", strings.Replace(hopVector, ".42.", ".43.", 1), HopMAC},
		{"another spelling of the MAC", hopVector[:len(hopVector)-1] + "t", HopMAC},
		{"just in time", with(func(h *hop) { h.issued = now.Add(-30 * time.Second) }), ""},
		{"expired", with(func(h *hop) { h.issued = now.Add(-30*time.Second - time.Millisecond) }), HopTime},
		{"from the future", with(func(h *hop) { h.issued = now.Add(30*time.Second + time.Millisecond) }), HopTime},
		{"from the far future", with(func(h *hop) { h.issued = time.UnixMilli(1 << 62) }), HopTime},
		{"unknown DC", with(func(h *hop) { h.from = "esams" }), HopDC},
		{"to unknown DC", with(func(h *hop) { h.to = "esams" }), HopDC},
		{"to itself", with(func(h *hop) { h.to = "eqiad" }), HopDC},
		{"no count", with(func(h *hop) { h.count = 0 }), HopForm},
		{"large count", with(func(h *hop) { h.count = 10 }), HopForm},
		{"no DC's name", with(func(h *hop) { h.from = "Eqiad" }), HopForm},
		{"leading zero", strings.Replace(hopVector, ".42.", ".042.", 1), HopForm},
		{"sign", strings.Replace(hopVector, ".42.", ".+42.", 1), HopForm},
		{"large epoch", strings.Replace(hopVector, ".42.", ".18446744073709551616.", 1), HopForm},
		{"empty epoch", strings.Replace(hopVector, ".42.", "..", 1), HopForm},
		{"short MAC", hopVector[:len(hopVector)-1], HopForm},
		{"more fields", hopVector + ".x", HopForm},
		{"empty", "", HopForm},
		{"version 2", "v2" + hopVector[2:], HopVersion},
		{"version 2, other form", "v2.x", HopVersion},
		{"no version", "x1" + hopVector[2:], HopForm},
		{"too long", "v2." + strings.Repeat("x", 200), HopForm},
	} {
		rt := hopRouter(t, testKey)
		h, kind := rt.openHop([]string{c.text})
		if kind != c.want || (h == nil) != (c.want != "") {
			t.Errorf("%s: %q, want %q", c.name, kind, c.want)
		}
		// Rejected, it is a client's request: a read that the primary answers.
		v := rt.judge(request("GET", "/", "X-DC-Hop: "+c.text), nil)
		if v.hopRejected != c.want || c.want != "" && (v.Reason != ReasonLocalIsPrimary || v.Entry != "codfw") {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
	rt := hopRouter(t, other, testKey)
	if _, kind := rt.openHop([]string{hopVector}); kind != "" {
		t.Errorf("the second key: %s", kind)
	}
	if _, kind := rt.openHop([]string{hopVector, hopVector}); kind != HopForm {
		t.Errorf("two headers: %s", kind)
	}
	if _, kind := rt.openHop(nil); kind != "" {
		t.Errorf("no header: %s", kind)
	}
	if len((hop{strings.Repeat("a", 32), strings.Repeat("b", 32), 9, 1<<64 - 1, time.UnixMilli(1 << 50)}).sealed(testKey)) > hopMaxLen {
		t.Error("the longest is too long")
	}
}
