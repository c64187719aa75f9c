package bed

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/multidc/multidc/internal/testbed/container"
	"github.com/multidc/multidc/internal/testbed/guard"
	"github.com/multidc/multidc/internal/testbed/proc"
)

// Command is a program that a kind of server runs, wherever it comes from: the machine, or an image.
type Command struct {
	Kind    string // whose program it is
	Program string // its name, or its whole path
	Args    []string
	Dir     string // working directory; "" = /
	User    string // the account that root runs it as, "" = root itself
	Log     string // the file that takes what it prints
}

// Contained says whether a kind's programs come from an image.
func (b *Bed) Contained(kind string) bool { return b.images[kind] != "" }

// start starts a program that ends with the bed at the latest.
func (b *Bed) start(c Command) (Process, error) {
	command := proc.Command{Path: c.Program, Args: c.Args, Dir: c.Dir, User: c.User, Log: c.Log}
	if image := b.images[c.Kind]; image != "" {
		// The mark lets the guard find the program on this machine, where it runs.
		command.Env = []string{guard.Marker + "=" + b.Dir}
		return container.Run(image, b.Dir, command)
	}
	path, ok := proc.Find(c.Program)
	if !ok {
		return nil, fmt.Errorf("%s is not there any more", c.Program)
	}
	command.Path = path
	return b.Run(command)
}

// RunToEnd runs a program to its end, or kills it when ctx ends. The error shows the end of its log.
func (b *Bed) RunToEnd(ctx context.Context, c Command) error {
	process, err := b.start(c)
	if err != nil {
		return err
	}
	select {
	case <-process.Exited():
	case <-ctx.Done():
		process.Kill()
		return fmt.Errorf("%s: %w", c.Program, ctx.Err())
	}
	if err := process.Err(); err != nil {
		return fmt.Errorf("%s: %w%s", c.Program, err, proc.Quote(process.Tail()))
	}
	return nil
}

// imageVariable is the variable that overrides a kind's image.
func imageVariable(kind string) string { return "MULTIDC_IMAGE_" + strings.ToUpper(kind) }

// chooseImages returns the images of the kinds that are to come from containers.
func chooseImages(ctx context.Context, kinds []Kind, all bool) (map[string]string, error) {
	images := map[string]string{}
	for _, kind := range kinds {
		if kind.Image == "" || !all && Missing(kind) == nil {
			continue
		}
		images[kind.Name] = kind.Image
		if image := os.Getenv(imageVariable(kind.Name)); image != "" {
			images[kind.Name] = image
		}
	}
	if len(images) == 0 {
		return images, nil
	}
	switch err := container.Healthy(ctx); {
	case err == nil:
		return images, nil
	case all:
		return nil, fmt.Errorf("--containers: %w", err)
	default:
		return nil, nil // what is missing is told when it is asked for
	}
}

// missing is Missing of those kinds that do not come from containers.
func (b *Bed) missing(kinds ...Kind) error {
	return Missing(slices.DeleteFunc(slices.Clone(kinds), func(k Kind) bool { return b.Contained(k.Name) })...)
}
