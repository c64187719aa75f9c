package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/multidc/multidc/rdbms"
	"github.com/multidc/multidc/rdbms/switchover"
)

// dcsBody is the body of the page about both datacenters.
type dcsBody struct {
	linkState
	DCs     []dcState
	State   string // who is the primary, and since when
	Moving  bool   // the state names another primary than the databases have yet
	Movable bool
}

// dcState is one datacenter, as its own processes see it.
type dcState struct {
	Name, Reads, Why, Writes string
	Primary                  bool
	ReadOnly, Problem        string
	Lag                      rdbms.Lag // of what its reads get now
	Servers                  []rdbms.ServerInfo
}

// dcs shows the state of both datacenters and of the link, with buttons to change it.
func (w *wiki) dcs(rw http.ResponseWriter, r *http.Request) {
	f := w.begin(r)
	body := dcsBody{linkState: w.dbs.link(r.Context()), State: w.state.Explain(r.Context()).String(), Movable: w.dbs.movable()}
	for _, s := range w.both {
		body.DCs = append(body.DCs, s.describe(r.Context()))
		primary, _, _ := s.state.Primary(r.Context()) // an old answer is shown by State
		body.Moving = body.Moving || primary != s.cluster.Positions().WriterDC()
	}
	f.Heading, f.Body = "Datacenters", body
	w.show(rw, r, http.StatusOK, "dc", f)
}

func (s *site) describe(ctx context.Context) dcState {
	e := s.cluster.Explain(ctx)
	reads := e.Groups[0]
	d := dcState{
		Name: s.dc, Primary: s.cluster.Positions().WriterDC() == s.dc, ReadOnly: e.ReadOnly,
		Reads: strings.Join(reads.Servers, ", "), Why: reads.Why, Writes: e.Primary,
	}
	if problem := s.problem.Load(); problem != nil {
		d.Problem = *problem
	}
	first := true
	for _, server := range e.Servers {
		if server.DC == s.dc {
			d.Servers = append(d.Servers, server)
		}
		if slices.Contains(reads.Servers, server.Name) && (first || !server.Lag.Known || d.Lag.Known && server.Lag.Value > d.Lag.Value) {
			d.Lag, first = server.Lag, false
		}
	}
	return d
}

// databases shows what this datacenter knows of the servers, and where its reads would go.
func (w *wiki) databases(rw http.ResponseWriter, r *http.Request) {
	w.explain(rw, r, "databases", "Databases", w.cluster.Explain(r.Context()))
}

// explainCache shows what this datacenter's cache knows of itself, and which DCs it can purge.
func (w *wiki) explainCache(rw http.ResponseWriter, r *http.Request) {
	w.explain(rw, r, "cache", "Cache", w.cache.Explain(r.Context()))
}

func (w *wiki) explain(rw http.ResponseWriter, r *http.Request, name, heading string, e fmt.Stringer) {
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		writeJSON(rw, http.StatusOK, e)
		return
	}
	f := w.begin(r)
	f.Heading, f.Body = heading, e.String()
	w.show(rw, r, http.StatusOK, name, f)
}

// setPrimary changes the state, as an operator's command does; both datacenters follow it.
func (w *wiki) setPrimary(rw http.ResponseWriter, r *http.Request) {
	if !w.dbs.movable() {
		w.fail(rw, r, &problem{status: http.StatusConflict, Heading: "Not from here", Text: "The database servers must be switched first, which is their operator's work. " +
			"Then change the file that was given with -state: the wiki follows it."})
		return
	}
	r.Body = http.MaxBytesReader(rw, r.Body, 4<<10)
	to := r.PostFormValue("dc")
	w.change(rw, r, func(ctx context.Context) error {
		_, err := w.state.Update(ctx, func(d *switchover.Doc) error {
			d.Primary = to
			return nil
		})
		if errors.Is(err, switchover.ErrInvalid) {
			return &problem{status: http.StatusBadRequest, Heading: "No such primary", Text: err.Error() + "."}
		}
		return err
	})
}

func (w *wiki) setLag(rw http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(rw, r.Body, 4<<10)
	d, err := time.ParseDuration(r.PostFormValue("lag"))
	if err == nil {
		err = checkLag(d)
	}
	if err != nil {
		w.fail(rw, r, &problem{status: http.StatusBadRequest, Heading: "No such lag", Text: err.Error() + "; for example 300ms or 5s."})
		return
	}
	w.change(rw, r, func(ctx context.Context) error { return w.dbs.setLag(ctx, d) })
}

func (w *wiki) cut(rw http.ResponseWriter, r *http.Request) { w.change(rw, r, w.dbs.cut) }

func (w *wiki) heal(rw http.ResponseWriter, r *http.Request) { w.change(rw, r, w.dbs.heal) }

func (w *wiki) change(rw http.ResponseWriter, r *http.Request, do func(context.Context) error) {
	if err := do(r.Context()); err != nil {
		w.fail(rw, r, err)
		return
	}
	http.Redirect(rw, r, "/_dc", http.StatusSeeOther)
}

// health is what a load balancer asks for: can this datacenter be read?
type health struct {
	OK         bool     `json:"ok"`
	DC         string   `json:"dc"`
	Primary    string   `json:"primary"`
	Database   string   `json:"database"`
	AgeSeconds *float64 `json:"ageSeconds"` // an upper bound; null = not known
	Lagged     bool     `json:"lagged"`     // more than it should
	Error      string   `json:"error,omitempty"`
}

func (w *wiki) health(rw http.ResponseWriter, r *http.Request) {
	var one int
	err := w.cluster.Replica().QueryRowContext(r.Context(), "SELECT 1 FROM page LIMIT 1").Scan(&one)
	served, status := w.cluster.Served(r.Context()), http.StatusOK
	out := health{
		OK: true, DC: w.dc, Primary: w.cluster.Positions().WriterDC(),
		Database: strings.Join(served.Servers, ", "), Lagged: served.Lagged,
	}
	if served.Lag.Known {
		seconds := served.Lag.Value.Seconds()
		out.AgeSeconds = &seconds
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		out.OK, out.Error, status = false, err.Error(), http.StatusServiceUnavailable
	}
	writeJSON(rw, status, out)
}

func writeJSON(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(body) // whoever has gone does not read errors
}
