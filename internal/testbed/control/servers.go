package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/multidc/multidc/internal/testbed/bed"
)

// linkStatus is a link at one moment.
type linkStatus struct {
	Name      string `json:"name"`
	DC        string `json:"dc"`   // where the server is
	From      string `json:"from"` // who reaches it so
	Addr      string `json:"addr"`
	Upstream  string `json:"upstream"`
	Mode      string `json:"mode"`
	LatencyMS int64  `json:"latency_ms"`
}

// inventory is what a bed, or one private instance, consists of.
type inventory struct {
	ID        string            `json:"id,omitempty"`
	Servers   []bed.Status      `json:"servers"`
	Links     []linkStatus      `json:"links"`
	Variables map[string]string `json:"variables,omitempty"`
}

func (i *inventory) add(set *bed.Set) {
	for _, s := range set.Servers() {
		i.Servers = append(i.Servers, s.Status())
	}
	for _, l := range set.Links() {
		state := l.State()
		i.Links = append(i.Links, linkStatus{
			Name: l.ID, DC: l.DC, From: l.FromDC, Addr: l.Addr(), Upstream: l.Upstream(),
			Mode: state.Mode, LatencyMS: state.Latency.Milliseconds(),
		})
	}
}

func (c *control) list(w http.ResponseWriter, _ *http.Request) {
	var all inventory
	for _, set := range c.bed.Sets() {
		all.add(set)
	}
	answer(w, http.StatusOK, all)
}

func (c *control) server(w http.ResponseWriter, r *http.Request) {
	s, err := c.findServer(r.PathValue("server"))
	if err == nil {
		err = serverVerb(r, s)
	}
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, s.Status())
}

func serverVerb(r *http.Request, s *bed.Server) error {
	switch verb := r.PathValue("verb"); verb {
	case "stop":
		s.Stop()
		return nil
	case "start":
		return s.Start(r.Context())
	case "pause":
		return s.Pause()
	case "resume":
		return s.Resume()
	default:
		return fmt.Errorf("verb %q: want stop, start, pause or resume: %w", verb, errUnknown)
	}
}

func (c *control) findServer(name string) (*bed.Server, error) {
	for _, set := range c.bed.Sets() {
		for _, s := range set.Servers() {
			if name == s.ID || name == s.Addr {
				return s, nil
			}
		}
	}
	return nil, fmt.Errorf("server %q: %w: GET /v1/servers lists them", name, errUnknown)
}

func (c *control) link(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("link")
	c.linkVerb(w, r, fmt.Sprintf("link %q", name), func(l *bed.Link) bool { return name == l.ID || name == l.Addr() })
}

// between acts on the links of one set between two DCs, in both directions.
func (c *control) between(w http.ResponseWriter, r *http.Request) {
	here, there, set, kinds := r.PathValue("here"), r.PathValue("there"), r.URL.Query().Get("set"), r.URL.Query()["kind"]
	c.linkVerb(w, r, fmt.Sprintf("links between %q and %q", here, there), func(l *bed.Link) bool {
		return l.Set == set && (len(kinds) == 0 || slices.Contains(kinds, l.Kind())) && (l.DC == here && l.FromDC == there || l.DC == there && l.FromDC == here)
	})
}

// linkVerb does the request's verb to every link that is meant.
func (c *control) linkVerb(w http.ResponseWriter, r *http.Request, what string, meant func(*bed.Link) bool) {
	do, err := verbOfLink(r)
	if err != nil {
		fail(w, err)
		return
	}
	links := 0
	for _, set := range c.bed.Sets() {
		for _, l := range set.Links() {
			if !meant(l) {
				continue
			}
			links++
			if err := do(l); err != nil {
				fail(w, err)
				return
			}
		}
	}
	if links == 0 {
		fail(w, fmt.Errorf("%s: %w: GET /v1/servers lists them", what, errUnknown))
		return
	}
	answer(w, http.StatusOK, map[string]int{"links": links})
}

// verbOfLink checks the whole request before anything is done to a link.
func verbOfLink(r *http.Request) (func(*bed.Link) error, error) {
	switch verb := r.PathValue("verb"); verb {
	case "cut":
		return func(l *bed.Link) error { l.Cut(); return nil }, nil
	case "blackhole":
		return func(l *bed.Link) error { return l.BlackHole() }, nil
	case "reset":
		return func(l *bed.Link) error { l.Reset(); return nil }, nil
	case "heal":
		return func(l *bed.Link) error { return l.Heal() }, nil
	case "latency":
		const most = 60_000
		ms, err := strconv.ParseInt(r.URL.Query().Get("ms"), 10, 64)
		if err != nil || ms < 0 || ms > most {
			return nil, fmt.Errorf("%w: latency wants ms=0 to %d", errRequest, most)
		}
		return func(l *bed.Link) error { l.Latency(time.Duration(ms) * time.Millisecond); return nil }, nil
	default:
		return nil, fmt.Errorf("verb %q: want cut, blackhole, latency, reset or heal: %w", verb, errUnknown)
	}
}
