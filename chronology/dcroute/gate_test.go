package dcroute

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// gate is a router of the primary, b, whose sections are those of a header, and what sets one read-only.
func gate(t *testing.T, options func(*Options)) (rt *Router, set func(section string, info ReadOnlyInfo)) {
	t.Helper()
	m := NewMemory("b")
	rt = newRouter(t, m, func(o *Options) {
		o.Section = func(r *http.Request) string { return r.Header.Get("X-Section") }
		if options != nil {
			options(o)
		}
	})
	return rt, func(section string, info ReadOnlyInfo) {
		m.Update(func(s *State) { s.ReadOnly[section] = info })
	}
}

// gateBody is what clients read; fields that are missing stay empty.
type gateBody struct {
	Code, Reason, Section string
	Until                 *time.Time
}

func bodyOf(t *testing.T, rec *httptest.ResponseRecorder) (b gateBody) {
	t.Helper()
	if err := json.Unmarshal(rec.Body.Bytes(), &b); err != nil || rec.Body.Len() > 4<<10 {
		t.Errorf("%v; %d bytes: %.200s", err, rec.Body.Len(), rec.Body)
	}
	return b
}

// 3.9: Retry-After is the whole seconds to until, rounded up, 1 to 120, or the option's when until is unknown or past; the body
// has until as RFC 3339, which ends with the year 9999, or null.
func TestUntilOfTheGate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		until      time.Time
		retryAfter string
		told       bool
	}{
		{now.Add(time.Second), "1", true},
		{now.Add(time.Second + 1), "2", true},
		{now.Add(41500 * time.Millisecond), "42", true},
		{now.Add(119*time.Second + 1), "120", true},
		{now.Add(120 * time.Second), "120", true},
		{now.AddDate(300, 0, 0), "120", true},
		{now.AddDate(10_000, 0, 0), "120", false},
		{now, "10", true},
		{time.Time{}, "10", false},
	} {
		rt, set := gate(t, func(o *Options) { o.Now = func() time.Time { return now } })
		set("*", ReadOnlyInfo{Reason: `why "é"`, Until: c.until})
		rec := record(rt, request("POST", "/"), func(http.ResponseWriter, *http.Request) { t.Error("it ran") })
		same(t, fmt.Sprint(c.until, ": status, Retry-After"), fmt.Sprint(rec.Code, rec.Header()["Retry-After"]), "503 ["+c.retryAfter+"]")
		same(t, "X-DC", rec.Header()[headerDC], "[b; via=b; reason=read-only]")
		body := bodyOf(t, rec)
		same(t, "body", body.Code+" "+body.Reason+" "+body.Section, `readonly why "é" *`)
		if (body.Until != nil) != c.told || c.told && !body.Until.Equal(c.until) {
			t.Errorf("until %v: told %v", c.until, body.Until)
		}
	}
}

// 3.9: "at most 4 KiB, reason cut at 1 KiB", between characters; the section may come from the request, and is no excuse.
func TestSizeOfTheGatesBody(t *testing.T) {
	for _, reason := range []string{
		strings.Repeat("é", 512), strings.Repeat("é", 513), "x" + strings.Repeat("é", 600), strings.Repeat("€", 1000), strings.Repeat("😀", 300),
		strings.Repeat("<", 1024), strings.Repeat("\x00", 3000),
	} {
		rt, set := gate(t, nil)
		set("*", ReadOnlyInfo{Reason: reason})
		got := bodyOf(t, record(rt, request("POST", "/"), nothing)).Reason
		if got == "" || len(got) > 1<<10 || !strings.HasPrefix(reason, got) {
			t.Errorf("%.4q…: got %d bytes, %.20q", reason, len(got), got)
		}
	}
	for _, section := range []string{strings.Repeat("s", 5000), strings.Repeat("\x01", 1000)} {
		rt, set := gate(t, func(o *Options) { o.Section = func(*http.Request) string { return section } })
		set(section, ReadOnlyInfo{Reason: "disk"})
		rec := record(rt, request("POST", "/"), nothing)
		same(t, "status", rec.Code, http.StatusServiceUnavailable)
		same(t, "reason", bodyOf(t, rec).Reason, "disk")
	}
}

// 3.9, X-Read-Only: `*` when section "" is read-only too, for whichever section was asked; what the body says is of all then.
func TestAllIsMoreThanASection(t *testing.T) {
	rt, set := gate(t, nil)
	set("media", ReadOnlyInfo{Reason: "disk"})
	set("*", ReadOnlyInfo{Reason: "moving"})
	rec := record(rt, request("POST", "/", "X-Section: media"), nothing)
	same(t, "X-Read-Only", rec.Header()[headerReadOnly], "[*]")
	body := bodyOf(t, rec)
	same(t, "body", body.Section+" "+body.Reason, "* moving")
}

// 3.9: status and headers are the gate's, whether RenderReadOnly writes or not.
func TestRenderReadOnlyKeepsTheHeaders(t *testing.T) {
	for want, render := range map[string]func(http.ResponseWriter, *http.Request, ReadOnlyInfo){
		"":      func(http.ResponseWriter, *http.Request, ReadOnlyInfo) {},
		"drill": func(w http.ResponseWriter, _ *http.Request, i ReadOnlyInfo) { _, _ = io.WriteString(w, i.Reason) },
	} {
		rt, set := gate(t, func(o *Options) { o.RenderReadOnly = render })
		set("*", ReadOnlyInfo{Reason: "drill"})
		rec := record(rt, request("POST", "/"), nothing)
		same(t, "answer", fmt.Sprint(rec.Code, rec.Header()["Retry-After"], rec.Header()[headerReadOnly], rec.Header()["Cache-Control"], rec.Body), "503 [10] [*] [no-store] "+want)
	}
}

// 3.9, X-DC-Force-Read-Only: handlers see it too, in reads, and in writes that pass the gate.
func TestForcedReadOnlyInHandlers(t *testing.T) {
	rt, _ := gate(t, func(o *Options) {
		o.TrustDebug = func(r *http.Request) bool { return r.Header.Get("X-Trusted") != "" }
		o.Rules.Rules = []Rule{{Name: "login", Path: "/login", AllowReadOnly: true}}
	})
	for _, c := range []struct {
		method, target string
		trusted        string
		want           string
	}{{"GET", "/", "1", "true drill"}, {"POST", "/login", "1", "true drill"}, {"GET", "/", "", "false "}} {
		rec := record(rt, request(c.method, c.target, "X-DC-Force-Read-Only: drill", "X-Trusted: "+c.trusted), func(w http.ResponseWriter, r *http.Request) {
			info, on := ReadOnly(r.Context())
			_, _ = fmt.Fprint(w, on, " ", info.Reason)
		})
		same(t, c.method+" "+c.target, rec.Body, c.want)
	}
}
