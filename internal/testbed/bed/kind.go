package bed

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/multidc/multidc/internal/testbed/proc"
)

// DCs are the datacenters of every bed. The first is the primary one.
var DCs = []string{"a", "b"}

// Kind is a kind of server that a bed can have: memcached, mariadb and so on.
type Kind struct {
	// Name is what --only and the control call it.
	Name string
	// After names the kinds that must be up before this one, in the same set.
	After []string
	// Programs must be there before anything is started.
	Programs []Program
	// Packages are further Debian packages that the programs need but do not bring along.
	Packages []string
	// MemoryMB is about what its servers need together, if that is worth a look before they start.
	MemoryMB int
	// Image is the official image that has the programs, "" if there is none that a container could be made from.
	Image string
	// Private says that a test may have an instance of its own.
	Private bool
	// Start starts the servers of both DCs in a set, opens their links and sets their variables. It returns when
	// all answer. What it started before an error is ended by its caller. Options is nil but for private instances.
	Start func(ctx context.Context, set *Set, options json.RawMessage) error
}

// Program is a program that a kind runs, or with a whole path another file that it needs.
type Program struct {
	Name    string
	Package string // the Debian package that has it
}

// MissingPackages returns the Debian packages that these kinds lack: those of programs that are not there, with the
// further ones of their kind.
func MissingPackages(kinds ...Kind) []string {
	var packages []string
	for _, kind := range kinds {
		lacks := len(packages)
		for _, program := range kind.Programs {
			if _, ok := proc.Find(program.Name); !ok {
				packages = append(packages, program.Package)
			}
		}
		if len(packages) > lacks {
			packages = append(packages, kind.Packages...)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// Missing returns an error that names every program of these kinds that is not there.
func Missing(kinds ...Kind) error {
	var lines, names []string
	for _, kind := range kinds {
		before := len(lines)
		for _, program := range kind.Programs {
			if _, ok := proc.Find(program.Name); !ok {
				lines = append(lines, fmt.Sprintf("%s is not installed: it is in Debian's package %s", program.Name, program.Package))
			}
		}
		if len(lines) > before {
			names = append(names, kind.Name)
		}
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("%s (or: testbed install --only %s)", strings.Join(lines, "; "), strings.Join(names, ","))
}

// Select returns the kinds of a comma-separated list, with those that they come after, in an order in which each
// follows those. An empty list means all.
func Select(all []Kind, list string) ([]Kind, error) {
	if list == "" {
		return all, nil
	}
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		if err := want(all, strings.TrimSpace(name), wanted); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(k Kind) bool { return !wanted[k.Name] }), nil
}

func want(all []Kind, name string, wanted map[string]bool) error {
	kind, err := Find(all, name)
	if err != nil {
		return err
	}
	wanted[name] = true
	for _, first := range kind.After {
		if err := want(all, first, wanted); err != nil {
			return err
		}
	}
	return nil
}

// Find returns the kind of that name.
func Find(all []Kind, name string) (Kind, error) {
	at := slices.IndexFunc(all, func(k Kind) bool { return k.Name == name })
	if at < 0 {
		return Kind{}, fmt.Errorf("there is no kind of server %q: there are %s", name, strings.Join(Names(all), ", "))
	}
	return all[at], nil
}

// Names returns the names of kinds.
func Names(kinds []Kind) []string {
	names := make([]string, len(kinds))
	for i, kind := range kinds {
		names[i] = kind.Name
	}
	return names
}
