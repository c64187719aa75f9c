// Package control is a test bed's HTTP API on loopback, by which tests stop, pause and cut what they use. Package
// internal/testservers is its client for tests; curl does for people.
//
//	GET  /v1/servers                                    all servers and links, and what they are doing
//	POST /v1/servers/{server}/{stop|start|pause|resume}
//	POST /v1/links/{link}/{cut|blackhole|latency?ms=300|reset|heal}
//	POST /v1/between/{dc}/{dc}/{verb of a link}?set=p1&kind=kafka
//	                                                    every link between two DCs; without set, of the shared servers;
//	                                                    without kind, which may be repeated, of every kind
//	POST /v1/private/{kind}                             an instance of one's own; body: its options
//	POST /v1/lease/{kind}?mode={exclusive|shared}
//
// A server or link is named by its name, or by its address: a program that has only the variables can cut its links
// too. The two last answer one line of JSON and keep the connection open: the instance and the lease live exactly as
// long as it does, so that nothing outlives a test that crashes. An error is a fitting status and {"error": "…"}.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/multidc/multidc/internal/testbed/bed"
)

// control serves the API of one bed.
type control struct {
	bed  *bed.Bed
	life context.Context // ends when what requests hold must end
}

// Serve serves the API on the bed's listener until ctx ends, and returns when every private instance has ended. The
// listener's port stays taken, as it holds the bed's block of ports.
func Serve(ctx context.Context, b *bed.Bed) error {
	c := &control{bed: b, life: ctx}
	server := &http.Server{Handler: c.routes(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(kept{b.Listener().(*net.TCPListener)}) }()
	select {
	case err := <-served:
		return fmt.Errorf("the test bed's control: %w", err)
	case <-ctx.Done():
	}
	// Requests that hold something see the same end, and let go of it; Shutdown waits for them.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	err := server.Shutdown(grace)
	return errors.Join(err, ended(<-served))
}

// ended is the error of a server that was not shut down.
func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// kept is a listener that stops accepting when it is closed, but keeps its port.
type kept struct{ *net.TCPListener }

func (k kept) Close() error { return k.SetDeadline(time.Unix(1, 0)) }

func (c *control) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/servers", c.list)
	mux.HandleFunc("POST /v1/servers/{server}/{verb}", c.server)
	mux.HandleFunc("POST /v1/links/{link}/{verb}", c.link)
	mux.HandleFunc("POST /v1/between/{here}/{there}/{verb}", c.between)
	mux.HandleFunc("POST /v1/private/{kind}", c.private)
	mux.HandleFunc("POST /v1/lease/{kind}", c.lease)
	return fromThisMachine(mux)
}

// fromThisMachine refuses what a browser sends for a page of somebody else's: the control's address is easily guessed,
// and a page may send requests to loopback, or have a name of its own that leads there.
func fromThisMachine(h http.Handler) http.Handler {
	h = http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			answer(w, http.StatusForbidden, map[string]string{"error": fmt.Sprintf("host %q is not this machine", r.Host)})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// errUnknown is the error of a name that nothing has.
var errUnknown = errors.New("there is none of that name")

// errRequest is the error of a request that makes no sense.
var errRequest = errors.New("bad request")

func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, errUnknown):
		status = http.StatusNotFound
	case errors.Is(err, errRequest), errors.Is(err, bed.ErrOptions):
		status = http.StatusBadRequest
	case errors.Is(err, bed.ErrState):
		status = http.StatusConflict
	}
	answer(w, status, map[string]string{"error": err.Error()})
}

// answer writes one line of JSON.
func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // who has gone away needs no answer
}
