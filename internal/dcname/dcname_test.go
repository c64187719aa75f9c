package dcname_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/multidc/multidc/internal/dcname"
)

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, why string // why: part of the error; "" = a good name
	}{
		{"a", ""},
		{"eqiad", ""},
		{"eu-west-1", ""},
		{"-", ""},
		{strings.Repeat("z", 32), ""},
		{"", "is empty"},
		{strings.Repeat("z", 33), "has 33 bytes"},
		{"Eqiad", `"E" at byte 0`},
		{"a.b", `"." at byte 1`},
		{"a b", `" " at byte 1`},
		{"a\n", `"\n" at byte 1`},
		{"é", `at byte 0`},
		{"a_b", `"_" at byte 1`},
		{"a\x00", `at byte 1`},
	} {
		err := dcname.Check(tc.name)
		switch {
		case tc.why == "" && err != nil:
			t.Errorf("Check(%q) = %v, want nil", tc.name, err)
		case tc.why != "" && err == nil:
			t.Errorf("Check(%q) = nil, want an error with %q", tc.name, tc.why)
		case tc.why != "" && !strings.Contains(err.Error(), tc.why):
			t.Errorf("Check(%q) = %v, want it to say %q", tc.name, err, tc.why)
		}
	}
}

// The dumb twin: a regular expression says the same of every input.
func FuzzCheck(f *testing.F) {
	twin := regexp.MustCompile(`\A[a-z0-9-]{1,32}\z`)
	for _, seed := range []string{"", "a", "eu-west-1", "A", "a\n", strings.Repeat("x", 32), strings.Repeat("x", 33)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if got, want := dcname.Check(name) == nil, twin.MatchString(name); got != want {
			t.Errorf("Check(%q) accepts: %v, the rule says %v", name, got, want)
		}
	})
}

func ExampleCheck() {
	fmt.Println(dcname.Check("eu-west-1"))
	fmt.Println(dcname.Check("EU West"))
	// Output:
	// <nil>
	// DC name "EU West" has "E" at byte 0: want 1 to 32 of a-z, 0-9, -
}
