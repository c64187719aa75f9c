package position

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Three servers for the tests.
const (
	u = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
	v = "0a1b2c3d-0000-11e1-9e33-c80aa9429562"
	w = "ffffffff-ffff-ffff-ffff-ffffffffffff"
)

func mariadb(t *testing.T, text string) Position {
	t.Helper()
	return must(t, ParseMariaDB, text)
}

func mysql(t *testing.T, text string) Position {
	t.Helper()
	return must(t, ParseMySQL, text)
}

func must(t *testing.T, parse func(string) (Position, error), text string) Position {
	t.Helper()
	p, err := parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return p
}

func reached(t *testing.T, have, want Position) bool {
	t.Helper()
	ok, err := Reached(have, want)
	if err != nil {
		t.Fatalf("Reached(%v, %v): %v", have, want, err)
	}
	return ok
}

func merged(t *testing.T, a, b Position) Position {
	t.Helper()
	p, err := Merge(a, b)
	if err != nil {
		t.Fatalf("Merge(%v, %v): %v", a, b, err)
	}
	return p
}
