package position

import (
	"errors"
	"testing"
)

// Cases 62, 63, 65, 67 and 83.
func TestReached(t *testing.T) {
	for _, tc := range []struct {
		parse      func(string) (Position, error)
		have, want string
		ok         bool
	}{
		{ParseMariaDB, "255-11-24", "255-11-23", true},
		{ParseMariaDB, "255-11-23", "255-11-24", false},
		{ParseMariaDB, "255-11-24", "255-11-24", true},
		{ParseMariaDB, "255-11-100", "255-11-99", true},
		{ParseMariaDB, "255-11-99", "255-11-100", false},
		{ParseMariaDB, "255-11-1000", "255-11-999", true},
		{ParseMariaDB, "255-11-999", "255-11-1000", false},
		{ParseMariaDB, "255-11-999", "254-11-1000", false},
		{ParseMariaDB, "254-11-1000", "255-11-999", false},
		{ParseMariaDB, "255-13-1000,256-14-49", "255-11-99,256-12-50", false},
		{ParseMariaDB, "255-11-99,256-12-50", "255-13-1000,256-14-49", false},
		{ParseMariaDB, "0-1-9", "0-9-3", true}, // the server's id does not count
		{ParseMariaDB, "0-9-3", "0-1-9", false},
		{ParseMariaDB, "0-1-9", "0-9-9", true},
		{ParseMariaDB, "0-9-9", "0-1-9", true},
		{ParseMariaDB, "0-1-9,1-1-1", "0-1-9", true},
		{ParseMariaDB, "0-1-9", "0-1-9,1-1-0", false},
		{ParseMariaDB, "", "0-1-1", false},
		{ParseMariaDB, "0-1-1", "", true},
		{ParseMariaDB, "", "", true},
		{ParseMySQL, u + ":5-24", u + ":1-23", false},
		{ParseMySQL, u + ":1-24", u + ":1-23", true},
		{ParseMySQL, u + ":1-10:12-24", u + ":1-23", false},
		{ParseMySQL, u + ":1-10:12-24", u + ":2-9:13:24", true},
		{ParseMySQL, u + ":1-10:12-24", u + ":11", false},
		{ParseMySQL, u + ":1-10:12-24", u + ":25", false},
		{ParseMySQL, u + ":1-10", v + ":1", false},
		{ParseMySQL, u + ":1-10," + v + ":1", v + ":1", true},
		{ParseMySQL, u + ":1-10", u + ":app:1", false},
		{ParseMySQL, u + ":app:1-10", u + ":1", false},
		{ParseMySQL, u + ":app:2-10:1", u + ":1", false},
		{ParseMySQL, u + ":1:app:1-10", u + ":app:2-3", true},
	} {
		if got := reached(t, must(t, tc.parse, tc.have), must(t, tc.parse, tc.want)); got != tc.ok {
			t.Errorf("have %q, want %q: reached is %t", tc.have, tc.want, got)
		}
	}
}

func TestMerge(t *testing.T) {
	for _, tc := range []struct {
		parse      func(string) (Position, error)
		a, b, want string
	}{
		{ParseMariaDB, "0-1-10,2-1-5", "0-2-9,1-2-33", "m1:0-1-10,1-2-33,2-1-5"},
		{ParseMariaDB, "0-1-99", "0-1-100", "m1:0-1-100"},
		{ParseMariaDB, "0-1-10", "0-2-10", "m1:0-2-10"},
		{ParseMariaDB, "", "0-2-10", "m1:0-2-10"},
		{ParseMariaDB, "", "", ""},
		{ParseMySQL, u + ":1-5:9", u + ":6-7," + v + ":1", "g1:" + v + ":1," + u + ":1-7:9"},
		{ParseMySQL, u + ":1-5", u + ":app:6", "g1:" + u + ":1-5:app:6"},
		{ParseMySQL, u + ":1", u + ":5:7:9", "g1:" + u + ":1:5:7:9"},
		{ParseMySQL, u + ":1-3:7-9", u + ":2-8", "g1:" + u + ":1-9"},
	} {
		a, b := must(t, tc.parse, tc.a), must(t, tc.parse, tc.b)
		beforeA, beforeB := a.String(), b.String()
		if got := merged(t, a, b); got.String() != tc.want {
			t.Errorf("%q and %q merge to %q, want %q", tc.a, tc.b, got, tc.want)
		}
		if a.String() != beforeA || b.String() != beforeB {
			t.Errorf("merging changed its arguments: %q is %q, %q is %q", beforeA, a, beforeB, b)
		}
	}
}

func TestFlavoursDoNotMix(t *testing.T) {
	m, g := mariadb(t, "0-1-10"), mysql(t, u+":1-5")
	for _, pair := range [][2]Position{{m, g}, {g, m}} {
		if ok, err := Reached(pair[0], pair[1]); ok || !errors.Is(err, errFlavours) {
			t.Errorf("Reached(%v, %v) = %t, %v", pair[0], pair[1], ok, err)
		}
		if p, err := Merge(pair[0], pair[1]); !p.IsZero() || !errors.Is(err, errFlavours) {
			t.Errorf("Merge(%v, %v) = %v, %v", pair[0], pair[1], p, err)
		}
		if pair[0].Equal(pair[1]) {
			t.Errorf("%v equals %v", pair[0], pair[1])
		}
	}
	var none Position
	for _, p := range []Position{m, g, none} {
		if reached(t, p, none) != true || reached(t, none, p) != p.IsZero() || !merged(t, p, none).Equal(p) || !merged(t, none, p).Equal(p) {
			t.Errorf("the zero position does not go with %v", p)
		}
	}
}

func TestEqual(t *testing.T) {
	if !mysql(t, u+":1-2:3").Equal(mysql(t, u+":1:2-3")) || !mariadb(t, "1-1-1,0-1-1").Equal(mariadb(t, "0-1-1,1-1-1")) {
		t.Error("the same sets are not equal")
	}
	for _, pair := range [][2]Position{
		{mariadb(t, "0-1-9"), mariadb(t, "0-2-9")}, {mariadb(t, "0-1-9"), {}}, {mysql(t, u+":1"), mysql(t, u+":1-2")},
		{mysql(t, u+":1"), mysql(t, v+":1")}, {mysql(t, u+":1"), mysql(t, u+":x:1")},
	} {
		if pair[0].Equal(pair[1]) || pair[1].Equal(pair[0]) {
			t.Errorf("%v equals %v", pair[0], pair[1])
		}
	}
}

// Case 66, and the same with MySQL.
func TestOnly(t *testing.T) {
	wanted := mariadb(t, "255-13-99,256-12-50,257-14-50")
	replica := mariadb(t, "255-11-1000,257-14-30")
	only := wanted.Only("257")
	if only.String() != "m1:257-14-50" || reached(t, replica, only) {
		t.Errorf("only domain 257 is %v, reached: %t", only, reached(t, replica, only))
	}
	if now := mariadb(t, "255-11-1000,257-14-50"); !reached(t, now, only) || reached(t, now, wanted) {
		t.Error("the foreign domain 256 is waited for")
	}
	set := mysql(t, v+":1,"+u+":1-5:app:7,"+w+":9")
	if got := set.Only("3E11FA47-71ca-11e1-9e33-c80aa9429562"); got.String() != "g1:"+u+":1-5:app:7" {
		t.Errorf("only one server's is %v", got)
	}
	for _, domain := range []string{"", "258", "-1", "4294967553", u[1:], "no"} {
		if got := wanted.Only(domain); !got.IsZero() {
			t.Errorf("only %q is %v", domain, got)
		}
		if got := set.Only(domain); !got.IsZero() {
			t.Errorf("only %q is %v", domain, got)
		}
	}
}
