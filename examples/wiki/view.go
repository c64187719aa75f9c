package main

import (
	"cmp"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// entry is one line of a list of pages: a page, or the pages below it.
type entry struct {
	Name, URL string
	Pages     int // below; 0 = it is a page
}

// homeBody is the body of the home page.
type homeBody struct {
	Folder  string
	Crumbs  []crumb
	Entries []entry
	Total   int
}

// home says what this is, and lists the pages, folder by folder.
func (w *wiki) home(rw http.ResponseWriter, r *http.Request) {
	f := w.begin(r)
	folder := strings.Trim(r.URL.Query().Get("in"), "/")
	prefix := ""
	f.Heading = "Wiki"
	if folder != "" {
		if err := checkTitle(folder); err != nil {
			w.fail(rw, r, &problem{status: http.StatusBadRequest, Heading: "No such title", Text: err.Error()})
			return
		}
		prefix, f.Heading = folder+"/", folder
	}
	titles, err := w.pages.titles(r.Context(), prefix)
	if err != nil {
		w.fail(rw, r, err)
		return
	}
	f.Body = homeBody{Folder: folder, Crumbs: crumbs(folder + "/"), Entries: group(titles, prefix), Total: len(titles)}
	w.show(rw, r, http.StatusOK, "home", f)
}

// group makes one entry of all pages with the same next part of their titles. Titles come in order of their bytes, in
// which the pages of a folder are neighbours.
func group(titles []string, prefix string) []entry {
	var list []entry
	for _, title := range titles {
		part, _, below := strings.Cut(strings.TrimPrefix(title, prefix), "/")
		if !below {
			list = append(list, entry{Name: part, URL: urlOf("wiki", title)})
			continue
		}
		url := folderURL(prefix + part)
		if n := len(list) - 1; n >= 0 && list[n].URL == url {
			list[n].Pages++
			continue
		}
		list = append(list, entry{Name: part, URL: url, Pages: 1})
	}
	slices.SortStableFunc(list, func(x, y entry) int {
		return cmp.Compare(strings.ToLower(x.Name), strings.ToLower(y.Name))
	})
	return list
}

// pageBody is the body of a wiki page.
type pageBody struct {
	Revision revision
	HTML     template.HTML
	Old      bool
}

func (w *wiki) view(rw http.ResponseWriter, r *http.Request, title string) {
	f := w.begin(r)
	body, cached, err := w.wanted(r, title)
	if errors.Is(err, errNoPage) {
		err = w.missing(r, title)
	}
	if err != nil {
		w.fail(rw, r, err)
		return
	}
	f.Heading, f.Title, f.Body, f.Cached = title, title, body, cached
	w.show(rw, r, http.StatusOK, "page", f)
}

// wanted is the newest revision, and how the cache had it, or the one the query names.
func (w *wiki) wanted(r *http.Request, title string) (body pageBody, cached string, err error) {
	text := r.URL.Query().Get("revision")
	if text == "" {
		return w.pages.newest(r.Context(), title)
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return body, "", &problem{status: http.StatusBadRequest, Heading: "No such revision", Text: strconv.Quote(text) + " is no number of a revision."}
	}
	body.Old = true
	body.Revision, err = w.pages.at(r.Context(), title, id)
	if errors.Is(err, errNoPage) {
		err = &problem{status: http.StatusNotFound, Heading: "No such revision", Text: "In datacenter " + w.dc + " this page has no revision " + text + "."}
	}
	if err == nil {
		body.HTML, err = render(title, body.Revision.Text)
	}
	return body, "", err
}

// missing is a page that is not there: it can be written, and there may be others below it.
func (w *wiki) missing(r *http.Request, title string) error {
	titles, err := w.pages.titles(r.Context(), title+"/")
	if err != nil {
		return err
	}
	return &problem{
		status: http.StatusNotFound, Heading: title, Title: title, Nearby: group(titles, title+"/"),
		Text: "There is no page with this title in datacenter " + w.dc + ".",
	}
}
