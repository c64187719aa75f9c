package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxTitle = 255 // bytes

// checkTitle says whether a page may be called so. Titles are like paths: "go/doc/README".
func checkTitle(title string) error {
	switch {
	case title == "":
		return errors.New("a page needs a title")
	case len(title) > maxTitle:
		return fmt.Errorf("the title has %d bytes, at most %d are possible", len(title), maxTitle)
	case !utf8.ValidString(title):
		return errors.New("the title is not valid UTF-8")
	case strings.TrimSpace(title) != title:
		return errors.New("a title neither begins nor ends with a blank")
	}
	for _, r := range title {
		if !unicode.IsGraphic(r) {
			return fmt.Errorf("the title has the character %U, which cannot be seen", r)
		}
	}
	for _, part := range strings.Split(title, "/") {
		if part == "" || part == "." || part == ".." {
			return errors.New("the parts of a title, between slashes, are neither empty nor dots")
		}
	}
	return nil
}

// urlOf returns the path of a page's view: wiki, edit or history.
func urlOf(view, title string) string {
	return (&url.URL{Path: "/" + view + "/" + title}).EscapedPath()
}

// crumb is one part of a title, and where the pages below it are listed.
type crumb struct{ Name, URL string }

func crumbs(title string) []crumb {
	parts := strings.Split(title, "/")
	list := make([]crumb, len(parts)-1)
	for i := range list {
		list[i] = crumb{Name: parts[i], URL: folderURL(strings.Join(parts[:i+1], "/"))}
	}
	return list
}

func folderURL(folder string) string {
	return "/?" + url.Values{"in": {folder}}.Encode()
}

func lastPart(title string) string {
	return title[strings.LastIndexByte(title, '/')+1:]
}
