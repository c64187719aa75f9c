package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"
)

// mutant is one small change to one file, and the test that must notice it.
type mutant struct {
	path     string // of the description
	folder   string // of the package
	why      string
	file     string // in folder
	test     string
	old, new string
}

func (m mutant) name() string {
	return filepath.Join(m.folder, strings.TrimSuffix(filepath.Base(m.path), ".txt"))
}

// find reads every mutant below the folders, in the order of their paths.
func find(folders []string) ([]mutant, error) {
	var paths []string
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && path != folder && strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			if ok, _ := filepath.Match("*/testdata/mutants/*.txt", lastFour(path)); ok && !d.IsDir() {
				paths = append(paths, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(paths)
	var mutants []mutant
	for _, path := range slices.Compact(paths) {
		m, err := read(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		mutants = append(mutants, m)
	}
	return mutants, nil
}

// lastFour are the path's last four elements, with "." for a package that lies where we stand.
func lastFour(path string) string {
	parts := strings.Split("./"+filepath.ToSlash(path), "/")
	return strings.Join(parts[max(0, len(parts)-4):], "/")
}

func read(path string) (mutant, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return mutant{}, err
	}
	m, err := parse(text)
	m.path, m.folder = path, filepath.Dir(filepath.Dir(filepath.Dir(path)))
	return m, err
}

// parse reads the form that the package comment shows.
func parse(text []byte) (mutant, error) {
	archive := txtar.Parse(text)
	var m mutant
	var why []string
	for line := range strings.Lines(string(archive.Comment)) {
		line = strings.TrimSpace(line)
		if file, ok := strings.CutPrefix(line, "file:"); ok {
			m.file = strings.TrimSpace(file)
		} else if test, ok := strings.CutPrefix(line, "test:"); ok {
			m.test = strings.TrimSpace(test)
		} else if line != "" {
			why = append(why, line)
		}
	}
	m.why = strings.Join(why, " ")
	for _, section := range archive.Files {
		switch section.Name {
		case "old":
			m.old = string(section.Data)
		case "new":
			m.new = string(section.Data)
		default:
			return m, fmt.Errorf("section %q is neither old nor new", section.Name)
		}
	}
	switch {
	case m.why == "":
		return m, errors.New("it does not say why it matters")
	case m.file == "" || m.test == "":
		return m, errors.New("it needs the lines 'file: NAME' and 'test: NAME'")
	case filepath.Base(m.file) != m.file:
		return m, fmt.Errorf("file: %s lies outside its package", m.file)
	case m.old == "" || m.old == m.new:
		return m, errors.New("it changes nothing: the section old is missing, or new says the same")
	}
	return m, nil
}

// apply returns the file's text with the mutant in it.
func (m mutant) apply(text string) (string, error) {
	if n := strings.Count(text, m.old); n != 1 {
		return "", fmt.Errorf("the old text stands in %s %d times, not once", m.file, n)
	}
	return strings.Replace(text, m.old, m.new, 1), nil
}
