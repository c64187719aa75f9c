package main

import "net/http"

// history lists the revisions of one page.
func (w *wiki) history(rw http.ResponseWriter, r *http.Request, title string) {
	f := w.begin(r)
	list, err := w.pages.history(r.Context(), title)
	if err == nil && len(list) == 0 {
		err = w.missing(r, title)
	}
	if err != nil {
		w.fail(rw, r, err)
		return
	}
	f.Heading, f.Title, f.Body = "History of "+title, title, list
	w.show(rw, r, http.StatusOK, "history", f)
}

// recent lists the newest edits of all pages.
func (w *wiki) recent(rw http.ResponseWriter, r *http.Request) {
	f := w.begin(r)
	list, err := w.pages.recent(r.Context())
	if err != nil {
		w.fail(rw, r, err)
		return
	}
	f.Heading, f.Body = "Recent edits", list
	w.show(rw, r, http.StatusOK, "recent", f)
}
