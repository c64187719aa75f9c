package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/multidc/multidc/internal/testbed/bed"
	"github.com/multidc/multidc/internal/testbed/install"
	"github.com/multidc/multidc/internal/testbed/proc"
)

// otherKafka is the version that ./test does not use.
const otherKafka = "4.1"

// testOtherKafka runs the smoke tests of Kafka on the other version.
func (r *runner) testOtherKafka(ctx context.Context) error {
	return r.inBed(ctx, []string{"--only", "kafka", "--kafka", otherKafka}, "Kafka|Consumer", nil)
}

// inBed runs some of the test bed's own tests in a bed of another make.
func (r *runner) inBed(ctx context.Context, flags []string, tests string, env []string) error {
	args := append([]string{"run"}, flags...)
	args = append(args, "--", "go", "test", "-count=1", "-run", tests, "./internal/testservers", "./internal/testbed/servers")
	cmd := command(ctx, ".", tools+"/testbed", args...)
	cmd.Env = append(append(os.Environ(), "MULTIDC_TEST_REQUIRE=1"), env...)
	out, err := cmd.CombinedOutput()
	return withOutput(err, out)
}

// containerImage is what testContainers imports.
const containerImage = "multidc-testbed:bookworm"

// testContainers proves that servers in containers answer to the same variables and the same control: with a Docker
// engine of our own, and an image made of the same Debian packages, as not every machine may fetch the official ones.
func (r *runner) testContainers(ctx context.Context) error {
	if err := r.proveContainers(ctx); err != nil {
		fmt.Fprintln(r.out, "SERVERS IN CONTAINERS ARE NOT PROVEN HERE")
		return err
	}
	return nil
}

func (r *runner) proveContainers(ctx context.Context) (err error) {
	tools := bed.Kind{Name: "containers", Programs: []bed.Program{
		{Name: "dockerd", Package: "docker.io"}, {Name: "docker", Package: "docker.io"}, {Name: "debootstrap", Package: "debootstrap"},
	}}
	if err := install.Missing(ctx, r.out, []bed.Kind{tools}); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "multidc-docker-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	host := "unix://" + filepath.Join(dir, "docker.sock")
	if err := os.Setenv("DOCKER_HOST", host); err != nil {
		return err
	}
	stop, err := startDocker(ctx, dir, host)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := importImage(ctx, dir); err != nil {
		return err
	}
	// No image can be counted on, so neither that of the library's own reaper: what a killed bed leaves, its guard ends.
	return r.inBed(ctx, []string{"--containers", "--only", "memcached,mariadb,heartbeat"}, "Verbs|Between|Instance|Ring|Write|ReadOnly", []string{
		"MULTIDC_IMAGE_MEMCACHED=" + containerImage, "MULTIDC_IMAGE_MARIADB=" + containerImage,
		"TESTCONTAINERS_RYUK_DISABLED=true", "TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1",
	})
}

// startDocker starts an engine of its own. Its containers share the machine's network, so it needs no rules for it.
func startDocker(ctx context.Context, dir, host string) (stop func() error, err error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("dockerd", "--host", host, "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--iptables=false")
	cmd.Stdout, cmd.Stderr = log, log
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		return nil, err
	}
	stop = func() error {
		// An orderly end takes down the engine's helpers and mounts, but for the one of the machine's network.
		err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
		_ = exec.Command("umount", filepath.Join(dir, "exec", "netns", "default")).Run() // there is none if nothing ran
		return err
	}
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := quiet(limit, ".", "docker", "version")
		if err == nil {
			return stop, nil
		}
		if limit.Err() != nil {
			return nil, errors.Join(fmt.Errorf("%w%s", err, proc.Quote(proc.Tail(log.Name()))), stop())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// importImage makes an image of a minimal Debian with the servers.
func importImage(ctx context.Context, dir string) error {
	root := filepath.Join(dir, "rootfs")
	if err := quiet(ctx, ".", "debootstrap", "--variant=minbase", "--include=memcached,mariadb-server", "bookworm", root); err != nil {
		return err
	}
	return quiet(ctx, ".", "sh", "-c", `tar -C "$0" -c . | docker import - "$1"`, root, containerImage)
}
