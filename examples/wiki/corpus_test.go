package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multidc/multidc/chronology"
	"github.com/multidc/multidc/rdbms"
)

func titlesOf(c *corpus) (list []string) {
	for _, d := range c.documents {
		list = append(list, d.title)
	}
	return list
}

func TestImportSkipsAndCounts(t *testing.T) {
	dir := docs(t, map[string]string{
		"README.md": "# R", "README.txt": "same title", "README": "same again", "sub/a.markdown": "a", "sub/UPPER.TXT": "`````",
		"binary.md": "a\x00b", "latin1.txt": "caf\xe9", "huge.md": strings.Repeat("x", maxText+1), "main.go": "package x",
		".hidden/h.md": "h", "testdata/t.md": "t", "vendor/v.md": "v", strings.Repeat("d", 200) + "/" + strings.Repeat("e", 100) + ".md": "long",
		"bell\a.md": "control",
	})
	require.NoError(t, os.Symlink(dir, filepath.Join(dir, "loop")))
	require.NoError(t, os.Symlink("README.md", filepath.Join(dir, "linked.md")))
	c, err := findCorpus(t.Context(), dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"README", "sub/a", "sub/UPPER", "binary", "latin1", "huge"}, titlesOf(c))
	require.Equal(t, map[string]int{"same title as another": 2, "impossible title": 2, "symbolic link": 1}, c.skipped)

	w := startWiki(t, "-lag", "0s", "-import", dir)
	w.imported()
	require.Contains(t, w.printed(), "imported 3 pages of 6 documents")
	require.Contains(t, w.printed(), "skipped 1: larger than 1 MiB")
	require.Contains(t, w.printed(), "skipped 2: not text")
	w.shows(dcB, "/wiki/sub/UPPER", "<code>`````")
}

func TestModulesOnlyTheNewest(t *testing.T) {
	cache := docs(t, map[string]string{
		"github.com/!big!corp/lib@v1.9.0/README.md":              "old",
		"github.com/!big!corp/lib@v1.10.0/README.md":             "new",
		"github.com/!big!corp/lib/v2@v2.0.0-rc.1/docs/x.md":      "v2",
		"cache/download/github.com/x/@v/list.txt":                "no module",
		"golang.org/toolchain@v0.0.1-go1.99.linux-amd64/READ.md": "Go again",
	})
	list := newestModules(cache)
	require.Len(t, list, 2)
	require.Equal(t, "github.com/BigCorp/lib", list[0].path)
	require.Equal(t, "v1.10.0", list[0].version)
	require.Equal(t, "github.com/BigCorp/lib/v2", list[1].path)
	require.Empty(t, newestModules(filepath.Join(cache, "none")))
}

func TestGoDocumentationIsFound(t *testing.T) {
	c, err := findCorpus(t.Context(), "")
	require.NoError(t, err)
	require.Contains(t, titlesOf(c), "go/README")
	require.Contains(t, strings.Join(titlesOf(c), "\n"), "github.com/yuin/goldmark/README")
}

func TestResolve(t *testing.T) {
	for href, want := range map[string]string{
		"other.md": "/wiki/a/b/other", "./x/y.txt#part": "/wiki/a/b/x/y#part", "../up.markdown": "/wiki/a/up", "Plain": "/wiki/a/b/Plain",
		"docs/": "/?in=a%2Fb%2Fdocs", "../../": "/?in=", "../../../out.md": "../../../out.md", "#here": "#here", "/wiki/Z": "/wiki/Z",
		"https://example.org/x.md": "https://example.org/x.md", "mailto:x@example.org": "mailto:x@example.org", "//host/x": "//host/x",
		"with%20blank.md": "/wiki/a/b/with%20blank", "what%3F.md": "/wiki/a/b/what%3F", "%zz": "%zz", "x.md?plain=1": "/wiki/a/b/x",
	} {
		require.Equal(t, want, resolve("a/b/page", href), href)
	}
	require.Equal(t, "/wiki/other", resolve("top", "other.md"))
}

func TestRender(t *testing.T) {
	for text, want := range map[string]string{
		"# One\n\n## Two":                                "<h2 id=\"one\">One</h2>\n<h3 id=\"two\">Two</h3>\n",
		"###### Six":                                     "<h6 id=\"six\">Six</h6>\n",
		"![logo](https://example.org/l.png)":             "<p><a href=\"https://example.org/l.png\" rel=\"nofollow\">logo</a></p>\n",
		"[![badge](https://e.org/b.svg)](https://e.org)": "<p><a href=\"https://e.org\" rel=\"nofollow\">badge</a></p>\n",
		"![](local.png)":                                 "<p>image</p>\n",
		"a <br> & `<b>`":                                 "<p>a <br> &amp; <code>&lt;b&gt;</code></p>\n",
		"<p align=center>x</p>":                          "<p>x</p>",
	} {
		got, err := render("t", text)
		require.NoError(t, err)
		require.Equal(t, want, string(got), text)
	}
}

func FuzzRender(f *testing.F) {
	f.Add("t", "# x\n<script>1</script>[a](javascript:b)<img src=x onerror=y>")
	f.Fuzz(func(t *testing.T, title, text string) {
		out, err := render(title, text)
		require.NoError(t, err)
		low := strings.ToLower(string(out))
		for _, bad := range []string{"<script", "<iframe", "<style", "<form", "<object", "href=\"javascript", "<img"} {
			require.NotContains(t, low, bad)
		}
	})
}

func FuzzEnvLine(f *testing.F) {
	for _, line := range []string{"", "# x", "export A='b'", `A='it'\''s'`, "A=b c", "export =x", "A='", `A=\`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		key, value, err := parseEnvLine(line)
		if err != nil || key == "" {
			return
		}
		again := "export " + key + "='" + strings.ReplaceAll(value, "'", `'\''`) + "'"
		key2, value2, err := parseEnvLine(again)
		require.NoError(t, err)
		require.Equal(t, []string{key, value}, []string{key2, value2})
	})
}

// What else is saved at the same time may cost the import a transaction, not its rest. Nor may a move of the primary.
func TestImportTriesAgain(t *testing.T) {
	list, err := openStates(t.Context(), config{})
	require.NoError(t, err)
	inner, err := openEmbedded(t.Context(), config{lag: time.Hour}, dcA, io.Discard)
	require.NoError(t, err)
	defer func() { require.NoError(t, inner.close()) }()
	dbs := &contended{databases: inner, conflicts: 2}
	both, err := openSites(list, dbs, chronology.TokenMode, io.Discard)
	require.NoError(t, err)
	defer func() { require.NoError(t, both.close(t.Context())) }()
	require.NoError(t, createTables(t.Context(), both[0].cluster.Primary(), sqlite))

	im := importer{pages: newPages(both[1]), batch: []edit{{title: "x", text: "y", imported: true}}}
	made, err := im.save(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, made)
	require.Zero(t, dbs.conflicts)

	moving, stop := context.WithCancel(t.Context())
	moved := make(chan error, 1)
	go func() { moved <- dbs.promote(moving, dcB) }() // which the lag holds up
	require.Eventually(t, func() bool {
		_, err := im.pages.save(t.Context(), edit{title: "z", text: "refused", base: anyBase})
		return errors.Is(err, rdbms.ErrReadOnly)
	}, patience, time.Millisecond)
	time.AfterFunc(100*time.Millisecond, stop)
	im.batch[0].title = "w"
	made, err = im.save(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, made)
	require.ErrorIs(t, <-moved, context.Canceled)
}

// contended sorts out the first transactions as a server does.
type contended struct {
	databases
	conflicts int
}

func (c *contended) dialect() dialect {
	if c.conflicts > 0 {
		c.conflicts--
		return dialect{forUpdate: " NO SUCH THING"}
	}
	return c.databases.dialect()
}

func (c *contended) classify(err error, commit bool) error {
	if err != nil && strings.Contains(err.Error(), "syntax error") {
		return errConflict
	}
	return c.databases.classify(err, commit)
}
