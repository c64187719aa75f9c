package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// document is a file to import.
type document struct {
	title, file string
	plain       bool // text, not Markdown
}

// corpus is what was found to import.
type corpus struct {
	documents []document
	skipped   map[string]int // by reason
}

func (c *corpus) skip(reason string) { c.skipped[reason]++ }

// findCorpus looks for documents: in dir, or in what Go has on this machine.
func findCorpus(ctx context.Context, dir string) (*corpus, error) {
	c := &corpus{skipped: map[string]int{}}
	if dir != "" {
		return c, c.walk(ctx, dir, "")
	}
	env, err := goEnv(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: there is no documentation of Go to import; name some with -import DIR", err)
	}
	if env.GOROOT != "" {
		if err := c.walk(ctx, env.GOROOT, "go"); err != nil {
			return nil, err
		}
	}
	for _, m := range newestModules(env.GOMODCACHE) {
		if err := c.walk(ctx, m.dir, m.path); err != nil {
			return nil, err
		}
	}
	return c, nil
}

type goDirs struct {
	GOROOT     string `json:"GOROOT"`
	GOMODCACHE string `json:"GOMODCACHE"`
}

func goEnv(ctx context.Context) (dirs goDirs, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "-json", "GOROOT", "GOMODCACHE").Output()
	if err != nil {
		return dirs, fmt.Errorf("go env: %w", err)
	}
	return dirs, json.Unmarshal(out, &dirs)
}

// walk adds the documents below dir, titled by their path below it. Symbolic links are not followed, so that a
// loop of them is harmless.
func (c *corpus) walk(ctx context.Context, dir, prefix string) error {
	seen := map[string]bool{}
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && file == dir:
			return err
		case err != nil:
			c.skip("unreadable")
			return nil //nolint:nilerr // counted
		case d.IsDir():
			if file != dir && ignoredDir(d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		c.add(path.Join(prefix, filepath.ToSlash(rel)), file, d.Type(), seen)
		return nil
	})
}

// ignoredDir: hidden ones, other people's copies, and data that only looks like documentation.
func ignoredDir(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
		slices.Contains([]string{"testdata", "vendor", "node_modules"}, name)
}

func (c *corpus) add(name, file string, kind fs.FileMode, seen map[string]bool) {
	title, ext := cutDocExt(name)
	if ext == "" && lastPart(title) != "README" {
		return // no document
	}
	switch {
	case kind&fs.ModeSymlink != 0:
		c.skip("symbolic link")
	case !kind.IsRegular():
		c.skip("no regular file")
	case checkTitle(title) != nil:
		c.skip("impossible title")
	case seen[title]: // README.md and README.txt
		c.skip("same title as another")
	default:
		seen[title] = true
		c.documents = append(c.documents, document{title: title, file: file, plain: ext == ".txt" || ext == ""})
	}
}

// cutDocExt splits a document's extension off; ext is empty if it is none.
func cutDocExt(name string) (stem, ext string) {
	ext = path.Ext(name)
	switch strings.ToLower(ext) {
	case ".md", ".markdown", ".txt":
		return strings.TrimSuffix(name, ext), strings.ToLower(ext)
	}
	return name, ""
}

type moduleDir struct{ path, version, dir string }

// newestModules finds the newest version of every module in the module cache.
func newestModules(cache string) []moduleDir {
	newest := map[string]moduleDir{}
	_ = filepath.WalkDir(cache, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() { // what cannot be read is not there
			return nil //nolint:nilerr // likewise
		}
		rel, err := filepath.Rel(cache, dir)
		if err != nil || rel == "cache" {
			return fs.SkipDir
		}
		escaped, version, found := strings.Cut(filepath.ToSlash(rel), "@")
		if !found {
			return nil
		}
		name, err := module.UnescapePath(escaped)
		if err == nil && name != "golang.org/toolchain" && semver.Compare(version, newest[name].version) > 0 {
			newest[name] = moduleDir{path: name, version: version, dir: dir}
		}
		return fs.SkipDir
	})
	list := make([]moduleDir, 0, len(newest))
	for _, m := range newest {
		list = append(list, m)
	}
	slices.SortFunc(list, func(x, y moduleDir) int { return strings.Compare(x.path, y.path) })
	return list
}

var errNotText = errors.New("not text")

// read returns a document's Markdown.
func (d document) read() (string, error) {
	info, err := os.Stat(d.file)
	if err != nil {
		return "", err
	}
	if info.Size() > maxText {
		return "", errTextTooLarge
	}
	raw, err := os.ReadFile(d.file)
	if err != nil {
		return "", err
	}
	text, err := cleanText(string(raw))
	if err != nil {
		return "", errNotText
	}
	if d.plain {
		text = fence(text)
	}
	return text, checkText(text)
}

// fence makes plain text a block of Markdown that shows it as it is.
func fence(text string) string {
	marks := "```"
	for strings.Contains(text, marks) {
		marks += "`"
	}
	return marks + "text\n" + strings.TrimRight(text, "\n") + "\n" + marks + "\n"
}
