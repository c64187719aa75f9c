// Package container runs a program of a server in a container instead of as a child process, for machines that have a
// Docker engine and not the server.
//
// The container shares the network of the machine, and the bed's directory under its own name. So everything about a
// server stays as it is: the command line, the files, the addresses and the links before them. Only the program comes
// from an image. Docker Desktop must have its host networking switched on for that.
package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"

	"github.com/multidc/multidc/internal/testbed/proc"
)

// What the library tells of every connection is not worth a line: errors say what went wrong.
func init() { tclog.SetDefault(log.New(io.Discard, "", 0)) }

// Healthy returns an error that says why there is no Docker engine to be used.
func Healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err == nil {
		_, err = docker.Ping(ctx, client.PingOptions{})
		err = errors.Join(err, docker.Close())
	}
	if err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	return nil
}

// Container is a program that runs in a container, or has ended. Its methods are safe for concurrent use.
type Container struct {
	docker *testcontainers.DockerClient
	id     string
	log    string
	done   chan struct{}
	err    error // valid after done
}

// pullLimit bounds the start of a container, which may have to fetch its image first.
const pullLimit = 10 * time.Minute

// Run starts a program of an image. What it prints goes to the command's log, as of a child process.
func Run(image, bedDir string, c proc.Command) (*Container, error) {
	ctx, cancel := context.WithTimeout(context.Background(), pullLimit)
	defer cancel()
	docker, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, fmt.Errorf("start %s of image %s: %w", c.Path, image, err)
	}
	user, err := account(c.User)
	if err == nil {
		err = openToAll(c.Log)
	}
	if err != nil {
		return nil, errors.Join(err, docker.Close())
	}
	started, err := testcontainers.Run(ctx, image,
		// The shell of the image becomes the program, and leaves its log where a child process does.
		testcontainers.WithEntrypoint(append([]string{"sh", "-c", `exec "$@" >>"$0" 2>&1`, c.Log, c.Path}, c.Args...)...),
		testcontainers.WithConfigModifier(func(config *container.Config) {
			config.User, config.WorkingDir = user, c.Dir
			config.Env = append(config.Env, c.Env...)
		}),
		testcontainers.WithHostConfigModifier(func(host *container.HostConfig) {
			host.NetworkMode = "host"
			host.Binds = []string{bedDir + ":" + bedDir}
			host.AutoRemove = true
		}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s of image %s: %w", c.Path, image, err), docker.Close())
	}
	running := &Container{docker: docker, id: started.GetContainerID(), log: c.Log, done: make(chan struct{})}
	go running.wait()
	return running, nil
}

// account is a user's numbers, which the image need not know. As for a child process, only root may choose; and no name
// means us, not whomever the image prefers, as the files are ours.
func account(name string) (string, error) {
	if name == "" || os.Geteuid() != 0 {
		return fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()), nil
	}
	a, err := proc.Lookup(name)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d:%d", a.UID, a.GID), nil
}

// openToAll makes a file to which any account may append: the program opens its log itself, under its own.
func openToAll(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666) //nolint:gosec // on purpose
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(0o666), f.Close())
}

func (c *Container) wait() {
	defer close(c.done)
	defer c.docker.Close()
	answer := c.docker.ContainerWait(context.Background(), c.id, client.ContainerWaitOptions{Condition: container.WaitConditionRemoved})
	select {
	case ended := <-answer.Result:
		if ended.StatusCode != 0 {
			c.err = fmt.Errorf("it ended with status %d", ended.StatusCode)
		}
	case c.err = <-answer.Error:
	}
}

// Exited is closed when the program has ended and its container is gone.
func (c *Container) Exited() <-chan struct{} { return c.done }

// Err waits for the end and returns nil if the program ended with status 0.
func (c *Container) Err() error {
	<-c.done
	return c.err
}

// verbLimit bounds what a running engine does at once.
const verbLimit = 30 * time.Second

// Kill ends the program with SIGKILL and waits until its container is gone.
func (c *Container) Kill() {
	ctx, cancel := context.WithTimeout(context.Background(), verbLimit)
	defer cancel()
	// One that is paused, or has ended already, cannot be killed, but is removed all the same.
	_, _ = c.docker.ContainerKill(ctx, c.id, client.ContainerKillOptions{Signal: "KILL"})
	_, _ = c.docker.ContainerRemove(ctx, c.id, client.ContainerRemoveOptions{Force: true})
	select {
	case <-c.done:
	case <-ctx.Done():
	}
}

// Pause freezes the program.
func (c *Container) Pause() error {
	ctx, cancel := context.WithTimeout(context.Background(), verbLimit)
	defer cancel()
	_, err := c.docker.ContainerPause(ctx, c.id, client.ContainerPauseOptions{})
	return err
}

// Resume lets a paused program run on.
func (c *Container) Resume() error {
	ctx, cancel := context.WithTimeout(context.Background(), verbLimit)
	defer cancel()
	_, err := c.docker.ContainerUnpause(ctx, c.id, client.ContainerUnpauseOptions{})
	return err
}

// Tail returns the end of the program's log.
func (c *Container) Tail() string { return proc.Tail(c.log) }
