package dcroute

import "testing"

func TestMemory(t *testing.T) {
	ctx := t.Context()
	m := NewMemory("a")
	var _ interface {
		PrimarySource
		ReadOnlySource
		PoolSource
		RolloutSource
		Refresher
	} = m
	primary := func(wantDC string, wantEpoch uint64, fails bool) {
		t.Helper()
		if dc, epoch, err := m.Primary(ctx); dc != wantDC || epoch != wantEpoch || (err != nil) != fails {
			t.Errorf("%q %d %v", dc, epoch, err)
		}
	}
	primary("a", 1, false)
	m.Update(func(s *State) { s.Primary = "b" })
	primary("b", 2, false)
	m.Update(func(s *State) { s.Primary, s.Epoch = "a", 9 })
	primary("a", 9, false)
	m.Update(func(s *State) { s.Err = errStale })
	primary("a", 9, true)
	m.Update(func(s *State) { s.Primary, s.Err = "", nil })
	primary("", 0, true)

	kept := map[string]bool{"b": true}
	m.Update(func(s *State) { s.Depooled = kept })
	kept["a"] = true
	if !m.Pooled("a") || m.Pooled("b") {
		t.Error("the caller's map is in use")
	}
	m.Update(func(s *State) { s.Depooled = nil })
	m.Update(func(s *State) { s.Depooled["a"] = true })
	if m.Pooled("a") {
		t.Error("the change was lost")
	}
}

func TestMemoryReadOnly(t *testing.T) {
	m := NewMemory("a")
	reason := func(section, want string, fails bool) {
		t.Helper()
		if got, _, err := m.ReadOnlyFor(t.Context(), "a", section); got != want || (err != nil) != fails {
			t.Errorf("section %q: %q, %v", section, got, err)
		}
	}
	reason("s", "", false)
	m.Update(func(s *State) { s.ReadOnly["s"] = ReadOnlyInfo{Reason: "disk"} })
	reason("s", "disk", false)
	reason("", "", false)
	m.Update(func(s *State) { s.ReadOnly["*"] = ReadOnlyInfo{Reason: "moving"} })
	reason("s", "moving", false)
	reason("", "moving", false)
	m.Update(func(s *State) { clear(s.ReadOnly); s.Err = errStale })
	reason("s", "", true)
}
