package main

import (
	"errors"
	"mime"
	"net/http"
	"strconv"

	"github.com/multidc/multidc/rdbms"
)

// editBody is the body of the form.
type editBody struct {
	Text, Summary string
	Base          int64 // the revision that is edited; 0 = a new page
	Max           int
	Newer         string // what somebody else has made of the page meanwhile
	Conflict      bool
}

func (w *wiki) editForm(rw http.ResponseWriter, r *http.Request, title string) {
	f := w.begin(r)
	rev, err := w.pages.page(r.Context(), title)
	if err != nil && !errors.Is(err, errNoPage) {
		w.fail(rw, r, err)
		return
	}
	f.Heading, f.Title, f.Body = "Editing "+title, title, editBody{Text: rev.Text, Base: rev.ID, Max: maxText}
	w.show(rw, r, http.StatusOK, "edit", f)
}

// save writes to the primary, from wherever this is, and sends the reader to the page.
func (w *wiki) save(rw http.ResponseWriter, r *http.Request, title string) {
	e, err := readEdit(rw, r, title)
	if err != nil {
		w.fail(rw, r, err)
		return
	}
	_, err = w.pages.save(r.Context(), e)
	switch {
	case errors.Is(err, errConflict):
		w.conflict(rw, r, e)
	case err != nil:
		p := w.asProblem(r.Context(), err)
		p.Edited = e.text
		w.fail(rw, r, p)
	default:
		http.Redirect(rw, r, urlOf("wiki", title), http.StatusSeeOther) //nolint:gosec // the path begins with /wiki/
	}
}

// conflict shows the form again, with the page as it is in the primary: what is here may be as old as the text that was
// edited.
func (w *wiki) conflict(rw http.ResponseWriter, r *http.Request, e edit) {
	f := w.begin(r)
	rev, err := w.pages.page(rdbms.WithPrimary(r.Context()), e.title)
	if err != nil && !errors.Is(err, errNoPage) {
		w.fail(rw, r, err)
		return
	}
	f.Heading, f.Title = "Editing "+e.title, e.title
	f.Body = editBody{Text: e.text, Summary: e.summary, Base: rev.ID, Max: maxText, Newer: rev.Text, Conflict: true}
	w.show(rw, r, http.StatusConflict, "edit", f)
}

// maxForm is a text of which every byte is escaped, and something for the rest.
const maxForm = 3*maxText + 64<<10

// readEdit reads the form; its errors are problems.
func readEdit(rw http.ResponseWriter, r *http.Request, title string) (edit, error) {
	broken := func(text string) *problem {
		return &problem{status: http.StatusBadRequest, Heading: "Broken form", Text: text}
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return edit{}, broken("Edits are sent as application/x-www-form-urlencoded, with the fields text and summary.")
	}
	r.Body = http.MaxBytesReader(rw, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return edit{}, tooLargeProblem("")
		}
		return edit{}, broken("The form cannot be read: " + err.Error() + ".")
	}
	if !r.PostForm.Has("text") {
		return edit{}, broken("The field text is missing.")
	}
	e := edit{title: title, base: anyBase}
	if e.text, err = cleanText(r.PostForm.Get("text")); err != nil {
		return edit{}, broken(err.Error())
	}
	if e.summary, err = cleanSummary(r.PostForm.Get("summary")); err != nil {
		return edit{}, broken(err.Error())
	}
	if base := r.PostForm.Get("base"); base != "" {
		if e.base, err = strconv.ParseInt(base, 10, 64); err != nil || e.base < 0 {
			return edit{}, broken("The field base is no number of a revision.")
		}
	}
	if checkText(e.text) != nil {
		return edit{}, tooLargeProblem(e.text)
	}
	return e, nil
}

func tooLargeProblem(text string) *problem {
	return &problem{
		status: http.StatusRequestEntityTooLarge, Heading: "Too large", Edited: text,
		Text: "A page has at most 1 MiB of text.",
	}
}
