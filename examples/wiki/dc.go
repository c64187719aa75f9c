package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// dcs shows the state of both datacenters and of the link, with buttons to change it.
func (w *wiki) dcs(rw http.ResponseWriter, r *http.Request) {
	f := w.begin(r)
	f.Heading, f.Body = "Datacenters", w.dbs.state(r.Context())
	w.show(rw, http.StatusOK, "dc", f)
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
	Error      string   `json:"error,omitempty"`
}

func (w *wiki) health(rw http.ResponseWriter, r *http.Request) {
	out := health{OK: true, DC: w.dc, Primary: primary, Database: w.pages.db.readName}
	if a := w.pages.db.age(r.Context()); a.Known {
		seconds := a.Value.Seconds()
		out.AgeSeconds = &seconds
	}
	status := http.StatusOK
	var one int
	err := w.pages.ready(r.Context())
	if err == nil {
		err = w.pages.db.read.QueryRowContext(r.Context(), "SELECT 1").Scan(&one)
	}
	if err != nil {
		out.OK, out.Error, status = false, err.Error(), http.StatusServiceUnavailable
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(out) // whoever has gone does not read errors
}
