package main

import (
	"strings"
	"testing"
)

// What go test -json prints, shortened: a package with a pass, a fail and a skip, one that does not build, and
// one that panics outside of any test.
const events = `{"Action":"run","Package":"github.com/multidc/multidc/x","Test":"TestGood"}
{"Action":"output","Package":"github.com/multidc/multidc/x","Test":"TestGood","Output":"not shown\n"}
{"Action":"pass","Package":"github.com/multidc/multidc/x","Test":"TestGood","Elapsed":0.1}
{"Action":"output","Package":"github.com/multidc/multidc/x","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"github.com/multidc/multidc/x","Test":"TestBad","Output":"    x_test.go:3: two is not three\n"}
{"Action":"fail","Package":"github.com/multidc/multidc/x","Test":"TestBad","Elapsed":0.1}
{"Action":"output","Package":"github.com/multidc/multidc/x","Test":"TestAway","Output":"=== RUN   TestAway\n"}
{"Action":"output","Package":"github.com/multidc/multidc/x","Test":"TestAway","Output":"    x_test.go:9: MULTIDC_TEST_KAFKA_A is not set\n"}
{"Action":"skip","Package":"github.com/multidc/multidc/x","Test":"TestAway","Elapsed":0}
{"Action":"fail","Package":"github.com/multidc/multidc/x","Elapsed":0.4}
{"Action":"build-output","ImportPath":"github.com/multidc/multidc/y","Output":"y.go:1:1: syntax error\n"}
{"Action":"build-fail","ImportPath":"github.com/multidc/multidc/y"}
{"Action":"output","Package":"github.com/multidc/multidc/z","Output":"panic: in TestMain\n"}
{"Action":"fail","Package":"github.com/multidc/multidc/z","Elapsed":0.1}
a line that is no event
`

func TestReport(t *testing.T) {
	var out strings.Builder
	p := newReport(&out)
	if err := p.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	err := p.close()
	if err == nil {
		t.Fatal("failures were reported as success")
	}
	for _, name := range []string{"x.TestBad", "y", "z"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
	for _, want := range []string{
		"two is not three", "y.go:1:1: syntax error", "panic: in TestMain", "a line that is no event",
		"skip  x.TestAway: x_test.go:9: MULTIDC_TEST_KAFKA_A is not set", "1 passed, 1 failed, 1 skipped",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "not shown") {
		t.Errorf("the report shows what a green test said:\n%s", out.String())
	}
}

func TestReportOfNothingIsAnError(t *testing.T) {
	if err := newReport(&strings.Builder{}).close(); err == nil {
		t.Error("a run without tests was reported as success")
	}
}

func TestReportSurvivesALongLine(t *testing.T) {
	p := newReport(&strings.Builder{})
	if err := p.read(strings.NewReader(strings.Repeat("x", 17<<20))); err == nil {
		t.Error("a line beyond the limit was lost in silence")
	}
}
