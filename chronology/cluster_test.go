package chronology_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/multidc/multidc/chronology"
)

// cluster is a Cluster whose positions are sets like "a3,b5": how far each domain is. Others, like "binlog:7", cannot be
// compared.
type cluster struct {
	name, writer string

	mu      sync.Mutex
	broken  error         // of capturing
	slow    time.Duration // likewise
	lagging bool
	reached func(position string) bool
}

// served is what a request has to do with a cluster.
type served struct {
	mu        sync.Mutex
	wrote     bool
	position  string
	asOf      time.Time
	required  []requirement
	captures  int
	phases    []string
	phaseThen []string // when captured
}

type requirement struct {
	position  string
	asOf      time.Time
	wait      time.Duration
	onTimeout string
}

type servedKey struct{ c *cluster }

func (c *cluster) Name() string     { return c.name }
func (c *cluster) WriterDC() string { return c.writer }

func (c *cluster) Attach(ctx context.Context) context.Context {
	if ctx.Value(servedKey{c}) != nil {
		return ctx
	}
	return context.WithValue(ctx, servedKey{c}, new(served))
}

func (c *cluster) of(ctx context.Context) *served { return ctx.Value(servedKey{c}).(*served) }

func (c *cluster) Require(ctx context.Context, position string, asOf time.Time, wait time.Duration, onTimeout string) error {
	if position != "" {
		if _, err := parse(position); err != nil && !strings.HasPrefix(position, "binlog:") {
			return err
		}
	}
	s := c.of(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.required = append(s.required, requirement{position, asOf, wait, onTimeout})
	return nil
}

func (c *cluster) Captured(ctx context.Context) (bool, string, time.Time, error) {
	c.mu.Lock()
	broken, slow := c.broken, c.slow
	c.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			broken = ctx.Err()
		}
	}
	if ctx.Err() != nil && broken == nil {
		broken = ctx.Err()
	}
	s := c.of(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.captures++
	s.phaseThen = slices.Clone(s.phases)
	if !s.wrote {
		return false, "", time.Time{}, nil
	}
	if broken != nil {
		return true, "", time.Time{}, broken
	}
	return true, s.position, s.asOf, nil
}

func (c *cluster) Merge(a, b string) (string, error) {
	x, err := parse(a)
	if err != nil {
		return "", err
	}
	y, err := parse(b)
	if err != nil {
		return "", err
	}
	for domain, n := range y {
		x[domain] = max(x[domain], n)
	}
	return format(x), nil
}

func (c *cluster) Lagged(context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lagging
}

func (c *cluster) Reached(ctx context.Context) (bool, error) {
	c.mu.Lock()
	reached, broken := c.reached, c.broken
	c.mu.Unlock()
	if broken != nil {
		return false, broken
	}
	for _, r := range c.requiredBy(ctx) {
		if reached != nil && !reached(r.position) {
			return false, nil
		}
	}
	return true, nil
}

func (c *cluster) Phase(ctx context.Context, name string) {
	s := c.of(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phases = append(s.phases, name)
}

// commit is a write of this request. "" = the cluster has no positions.
func (c *cluster) commit(ctx context.Context, position string) {
	c.commitAt(ctx, position, time.Now())
}

func (c *cluster) commitAt(ctx context.Context, position string, at time.Time) {
	s := c.of(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrote, s.position, s.asOf = true, position, at
	if position == "" {
		s.asOf = time.Time{}
	}
}

func (c *cluster) requiredBy(ctx context.Context) []requirement {
	s := c.of(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.required)
}

// positions are those that a request requires; a touch is "".
func (c *cluster) positions(ctx context.Context) string {
	var all []string
	for _, r := range c.requiredBy(ctx) {
		all = append(all, r.position)
	}
	return strings.Join(all, " ")
}

func parse(position string) (map[byte]int, error) {
	set := map[byte]int{}
	for part := range strings.SplitSeq(position, ",") {
		if len(part) < 2 {
			return nil, fmt.Errorf("position %q", position)
		}
		n, err := strconv.Atoi(part[1:])
		if err != nil {
			return nil, errors.New("these positions cannot be compared")
		}
		set[part[0]] = max(set[part[0]], n)
	}
	return set, nil
}

func format(set map[byte]int) string {
	var parts []string
	for _, domain := range slices.Sorted(maps.Keys(set)) {
		parts = append(parts, string(domain)+strconv.Itoa(set[domain]))
	}
	return strings.Join(parts, ",")
}

// journal has what a protector tells.
type journal struct {
	mu       sync.Mutex
	kept     []chronology.KeptInfo
	holes    []chronology.HoleInfo
	rejected []chronology.RejectedInfo
}

func (j *journal) events() chronology.Events {
	return chronology.Events{
		OnKept: func(_ context.Context, i chronology.KeptInfo) { j.add(func() { j.kept = append(j.kept, i) }) },
		OnHole: func(_ context.Context, i chronology.HoleInfo) { j.add(func() { j.holes = append(j.holes, i) }) },
		OnRejected: func(_ context.Context, i chronology.RejectedInfo) {
			j.add(func() { j.rejected = append(j.rejected, i) })
		},
	}
}

func (j *journal) add(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
}

// take returns the holes and rejections since the last time, as words.
func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var words []string
	for _, h := range j.holes {
		words = append(words, strings.TrimSuffix(string(h.Kind)+":"+h.Cluster, ":"))
	}
	for _, r := range j.rejected {
		words = append(words, string(r.Source)+":"+string(r.Reason))
	}
	j.holes, j.rejected = nil, nil
	return strings.Join(words, " ")
}

// site is an application in one DC.
type site struct {
	t   *testing.T
	own *chronology.Protector
	j   *journal
}

// secret is the vectors' key: bytes 00 to 1f.
func secret() []byte {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func keys() []chronology.Key { return []chronology.Key{{ID: 1, Secret: secret()}} }

func newSite(t *testing.T, o chronology.Options, clusters ...chronology.Cluster) *site {
	t.Helper()
	s := &site{t: t, j: &journal{}}
	o.DC = cmp.Or(o.DC, "a")
	o.Events = s.j.events()
	var err error
	if s.own, err = chronology.New(clusters, &o); err != nil {
		t.Fatal(err)
	}
	return s
}

// client is a browser: it keeps cookies, for as long as they say.
type client struct {
	cookies map[string]string
	ends    map[string]time.Time
}

func newClient() *client { return &client{map[string]string{}, map[string]time.Time{}} }

// do sends one request to a site, and keeps the cookies of the answer.
func (c *client) do(s *site, method string, handler http.HandlerFunc) *http.Response {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, "http://wiki.example/", nil)
	return c.send(s, r, handler)
}

func (c *client) send(s *site, r *http.Request, handler http.HandlerFunc) *http.Response {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(c.cookies)) {
		if time.Now().Before(c.ends[name]) {
			r.AddCookie(&http.Cookie{Name: name, Value: c.cookies[name]})
		}
	}
	w := httptest.NewRecorder()
	s.own.Middleware(handler).ServeHTTP(w, r)
	res := w.Result()
	for _, k := range res.Cookies() {
		c.cookies[k.Name], c.ends[k.Name] = k.Value, time.Now().Add(time.Duration(k.MaxAge)*time.Second)
	}
	return res
}

// names are the cookies of an answer.
func names(res *http.Response) string {
	var all []string
	for _, k := range res.Cookies() {
		all = append(all, k.Name)
	}
	return strings.Join(all, " ")
}

// same fails if the two differ.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
