package testservers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Bed is the servers that a test may act on: the shared ones ([Control]) or those of a private [Instance]. A verb that
// fails ends the test.
type Bed struct {
	tb      testing.TB
	control string // the address of the test bed's control
	set     string // "" = the shared servers
}

// Control returns the shared servers. What it does to them others feel: it is for what nobody else uses, or for who
// has the exclusive lease.
func Control(tb testing.TB) *Bed {
	tb.Helper()
	return &Bed{tb: tb, control: Var(tb, "CONTROL")}
}

// Server returns the server of that name, for example "mariadb-a-replica", "memcached-b-1", "heartbeat-a".
func (b *Bed) Server(name string) *Server { return &Server{bed: b, path: "servers/" + b.full(name)} }

// Link returns the way by which the other DC reaches a server: "mariadb-a-via-b". Replication takes it too.
func (b *Bed) Link(name string) *Link { return &Link{bed: b, path: "links/" + b.full(name)} }

// Between returns all links between two DCs, in both directions, as one; with kinds only those of these kinds of
// server, for example "kafka". On the shared servers name the kinds that you have the exclusive lease on.
func (b *Bed) Between(dc, other string, kinds ...string) *Link {
	return &Link{bed: b, path: "between/" + dc + "/" + other, query: url.Values{"set": {b.set}, "kind": kinds}}
}

func (b *Bed) full(name string) string {
	if b.set == "" {
		return name
	}
	return b.set + "." + name
}

// Server is one server. Its verbs return when they hold, and may be repeated.
type Server struct {
	bed  *Bed
	path string
}

// Stop ends the server with SIGKILL: connects to it are refused.
func (s *Server) Stop() { s.bed.tb.Helper(); s.bed.do(s.path, "stop", nil) }

// Start starts it again, on its address and data, and returns when it answers.
func (s *Server) Start() { s.bed.tb.Helper(); s.bed.do(s.path, "start", nil) }

// Pause freezes it: connects succeed, nothing is answered.
func (s *Server) Pause() { s.bed.tb.Helper(); s.bed.do(s.path, "pause", nil) }

// Resume lets a paused server go on.
func (s *Server) Resume() { s.bed.tb.Helper(); s.bed.do(s.path, "resume", nil) }

// Link is a way between DCs. Its verbs return when they hold, and may be repeated.
type Link struct {
	bed   *Bed
	path  string
	query url.Values
}

// Cut closes its connections and refuses new ones.
func (l *Link) Cut() { l.bed.tb.Helper(); l.bed.do(l.path, "cut", l.query) }

// BlackHole lets nothing through and closes nothing. What was under way is delivered after Heal.
func (l *Link) BlackHole() { l.bed.tb.Helper(); l.bed.do(l.path, "blackhole", l.query) }

// Latency delays each direction by so much: a round trip takes twice as much longer. 0 ends it.
func (l *Link) Latency(d time.Duration) {
	l.bed.tb.Helper()
	query := url.Values{"ms": {strconv.FormatInt(d.Milliseconds(), 10)}}
	for name, values := range l.query {
		query[name] = values
	}
	l.bed.do(l.path, "latency", query)
}

// Reset ends its connections with a TCP reset, once.
func (l *Link) Reset() { l.bed.tb.Helper(); l.bed.do(l.path, "reset", l.query) }

// Heal undoes Cut, BlackHole and Latency.
func (l *Link) Heal() { l.bed.tb.Helper(); l.bed.do(l.path, "heal", l.query) }

// verbLimit is how long a verb may take: starting the slowest server on a busy machine.
const verbLimit = 2 * time.Minute

// do does a verb. It does not follow the test's context, which has ended when cleanups run.
func (b *Bed) do(path, verb string, query url.Values) {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), verbLimit)
	defer cancel()
	answer, err := post(ctx, b.control, path+"/"+verb, query, nil)
	if err != nil {
		b.tb.Fatalf("test bed: %s %s: %v", verb, path, err)
	}
	_ = answer.Close()
}

// client keeps no connection: nothing of it is left when a test looks for leaks.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// post asks the control for something and returns what it answers, or the error that it tells.
func post(ctx context.Context, control, path string, query url.Values, options any) (io.ReadCloser, error) {
	body := ""
	if options != nil {
		text, err := json.Marshal(options)
		if err != nil {
			return nil, err
		}
		body = string(text)
	}
	target := url.URL{Scheme: "http", Host: control, Path: "/v1/" + path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	var said struct {
		Error string `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&said); err != nil || said.Error == "" {
		said.Error = "no reason given"
	}
	return nil, fmt.Errorf("%s: %s", answer.Status, said.Error)
}
