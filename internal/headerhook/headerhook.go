// Package headerhook wraps an http.ResponseWriter so that a function runs once, just before the headers of the answer go
// out: the last moment for a middleware to set a cookie.
//
// The moment is the first of WriteHeader (not with an informational status, but 101 counts), Write, ReadFrom, Flush,
// FlushError and Hijack; else the middleware's own call of [Writer.Finish] when the handler has returned. Each way to send
// something is a method here, for http.ResponseController, and a type assertion, would reach past a wrapper that lacks it.
package headerhook

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// Writer is the wrapped one. It is as much for one goroutine at a time as what it wraps.
type Writer struct {
	inner  http.ResponseWriter
	before func(status int)
	called bool
}

// New wraps w. before gets the status that the answer will have: 200 where the handler names none.
func New(w http.ResponseWriter, before func(status int)) *Writer {
	return &Writer{inner: w, before: before}
}

// Finish is the last possible moment: the handler has returned, or panicked.
func (w *Writer) Finish() { w.goingOut(http.StatusOK) }

func (w *Writer) goingOut(status int) {
	if !w.called {
		w.called = true
		w.before(status)
	}
}

// Handlers is what handlers get: a writer that can flush, and be hijacked, as far as the wrapped one can.
func (w *Writer) Handlers() http.ResponseWriter {
	flushes, hijacks := abilities(w.inner)
	switch {
	case flushes && hijacks:
		return both{w}
	case flushes:
		return flusher{w}
	case hijacks:
		return hijacker{w}
	}
	return w
}

// abilities are those that http.ResponseController would find.
func abilities(w http.ResponseWriter) (flushes, hijacks bool) {
	for {
		switch w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			flushes = true
		}
		if _, ok := w.(http.Hijacker); ok {
			hijacks = true
		}
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return flushes, hijacks
		}
		w = outer.Unwrap()
	}
}

// Unwrap is for http.ResponseController: deadlines, and full duplex.
func (w *Writer) Unwrap() http.ResponseWriter { return w.inner }

// Header implements http.ResponseWriter.
func (w *Writer) Header() http.Header { return w.inner.Header() }

// WriteHeader implements http.ResponseWriter.
func (w *Writer) WriteHeader(status int) {
	if status < 100 || status > 199 || status == http.StatusSwitchingProtocols {
		w.goingOut(status)
	}
	w.inner.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *Writer) Write(b []byte) (int, error) {
	w.goingOut(http.StatusOK)
	return w.inner.Write(b)
}

// ReadFrom implements io.ReaderFrom, by which net/http sends files.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	w.goingOut(http.StatusOK)
	return io.Copy(w.inner, r)
}

func (w *Writer) flush() error {
	w.goingOut(http.StatusOK)
	return http.NewResponseController(w.inner).Flush()
}

func (w *Writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.goingOut(http.StatusSwitchingProtocols)
	return http.NewResponseController(w.inner).Hijack()
}

type flusher struct{ *Writer }

func (w flusher) Flush()            { _ = w.flush() }
func (w flusher) FlushError() error { return w.flush() }

type hijacker struct{ *Writer }

func (w hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }

type both struct{ *Writer }

func (w both) Flush()                                       { _ = w.flush() }
func (w both) FlushError() error                            { return w.flush() }
func (w both) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.hijack() }
