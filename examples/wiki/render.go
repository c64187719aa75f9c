package main

import (
	"bytes"
	"errors"
	"html/template"
	"net/url"
	"path"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"
	xhtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Raw HTML in Markdown is let through here, because READMEs are full of it, and cleaned at the end.
var (
	markdown = goldmark.New(
		goldmark.WithExtensions(extension.GFM, thrift{}),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
		goldmark.WithRendererOptions(html.WithUnsafe()),
	)
	cleaner = bluemonday.UGCPolicy()
)

// render turns a page's Markdown into HTML that is safe to show; Markdown that takes too much is shown as it is.
func render(title, text string) (template.HTML, error) {
	var raw bytes.Buffer
	switch err := convert(text, &raw); {
	case errors.Is(err, errTooCostly):
		return template.HTML(`<p class="note bad">This page is too intricate to be shown as anything but its source.</p>` + //nolint:gosec // escaped
			"<pre>" + template.HTMLEscapeString(text) + "</pre>"), nil
	case err != nil:
		return "", err
	}
	fitted := fit(title, raw.Bytes())
	return template.HTML(cleaner.SanitizeBytes(fitted)), nil //nolint:gosec // cleaned as the last step
}

// fit makes HTML part of the page with this title: relative links lead to pages, headings stand below the page's own,
// and images become links, so that reading a page tells no other server about it.
func fit(title string, in []byte) []byte {
	var out bytes.Buffer
	z := xhtml.NewTokenizer(bytes.NewReader(in))
	links := 0 // how deep in <a>
	for {
		kind := z.Next()
		if kind == xhtml.ErrorToken { // the end; there are no others in memory
			return out.Bytes()
		}
		raw := bytes.Clone(z.Raw())
		token := z.Token()
		switch {
		case kind == xhtml.EndTagToken && token.DataAtom == atom.A:
			links = max(links-1, 0)
		case kind == xhtml.StartTagToken && token.DataAtom == atom.A:
			links++
			rewriteHref(title, &token)
			raw = []byte(token.String())
		case token.DataAtom == atom.Img && kind != xhtml.EndTagToken:
			raw = []byte(imageText(token, links > 0))
		case isHeading(token.DataAtom) && kind != xhtml.TextToken:
			token.Data = "h" + string(min(token.Data[1]+1, '6'))
			token.DataAtom = 0
			raw = []byte(token.String())
		}
		out.Write(raw)
	}
}

func isHeading(a atom.Atom) bool {
	return a == atom.H1 || a == atom.H2 || a == atom.H3 || a == atom.H4 || a == atom.H5 || a == atom.H6
}

func rewriteHref(title string, token *xhtml.Token) {
	for i, attr := range token.Attr {
		if attr.Key == "href" {
			token.Attr[i].Val = resolve(title, attr.Val)
		}
	}
}

// imageText is what stands for an image: its description, as a link to it if that makes sense.
func imageText(token xhtml.Token, inLink bool) string {
	var src, alt string
	for _, attr := range token.Attr {
		switch attr.Key {
		case "src":
			src = attr.Val
		case "alt":
			alt = strings.TrimSpace(attr.Val)
		}
	}
	if alt == "" {
		alt = "image"
	}
	u, err := url.Parse(src)
	if inLink || err != nil || u.Host == "" {
		return xhtml.EscapeString(alt)
	}
	return `<a href="` + xhtml.EscapeString(src) + `">` + xhtml.EscapeString(alt) + `</a>`
}

// resolve turns a link on a page into one that works in the wiki. What names another host, or begins with a slash,
// stays as it is.
func resolve(title, href string) string {
	u, err := url.Parse(href)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Path == "" || u.Path[0] == '/' {
		return href
	}
	target := path.Join(path.Dir(title), u.Path)
	if target == ".." || strings.HasPrefix(target, "../") {
		return href
	}
	if target == "." || strings.HasSuffix(u.Path, "/") {
		return folderURL(strings.TrimPrefix(target, "."))
	}
	target, _ = cutDocExt(target)
	to := url.URL{Path: "/wiki/" + target, Fragment: u.Fragment}
	return to.String()
}
