package chronology

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// golden are the lines of a file of testdata/golden: an example of a format, and what becomes of it.
func golden(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/golden", file))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if example, becomes, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && line[0] != '#' {
			list[example] = becomes
		}
	}
	if len(list) == 0 {
		t.Fatalf("%s has nothing", file)
	}
	return list
}

func TestGoldenTokens(t *testing.T) {
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	ring, now := keyring{newSigner(Key{ID: 1, Secret: secret})}, time.UnixMilli(1700000000000)
	for token, want := range golden(t, "tokens.txt") {
		claims, why := ring.open(token, now, 10*time.Second)
		got := string(why)
		if why == "" {
			got = "ok"
			if sealed := ring.seal(now, claims); sealed != token {
				t.Errorf("%s is made as %s", token, sealed)
			}
		}
		for _, c := range claims {
			got += fmt.Sprintf(" %08x", c.cluster)
			if c.wrote {
				got += " w"
			}
			got = strings.TrimSuffix(fmt.Sprintf("%s %d %s", got, c.asOf.UnixMilli(), c.position), " ")
		}
		if got != want {
			t.Errorf("%s: %s, want %s", token, got, want)
		}
	}
}

func TestGoldenTickets(t *testing.T) {
	for text, want := range golden(t, "tickets.txt") {
		ticket, ok := parseTicket(text)
		if ok != (want == "ok") || ok && ticket.String() != text {
			t.Errorf("%s: %v, %t, want %s", text, ticket, ok, want)
		}
	}
}

func TestGoldenValues(t *testing.T) {
	for text, want := range golden(t, "values.txt") {
		v, err := decodeValue([]byte(text))
		if (err == nil) != strings.HasPrefix(want, "ok") || want == "ok" && string(v.encode()) != text {
			t.Errorf("%s: %v, written as %s, want %s", text, err, v.encode(), want)
		}
	}
	if _, err := decodeValue([]byte(`{"v":1,"i":1,"c":{"` + strings.Repeat("x", 16<<10) + `":{}}}`)); err == nil {
		t.Error("more than 16 KiB are read")
	}
}
