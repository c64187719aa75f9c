package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake is a folder with a program of that name and text, to stand first in PATH.
func fake(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const goodJava = `echo 'openjdk version "21.0.2" 2024-01-16' >&2`

func TestJavaTroubles(t *testing.T) {
	for _, tc := range []struct {
		name     string
		programs map[string]string
		want     []string
	}{
		{"none", map[string]string{}, []string{"java is not installed: it is in Debian's package openjdk-17-jre-headless", "maven"}},
		{"too old", map[string]string{"java": `echo 'java version "1.8.0_392"' >&2`, "mvn": "exit 9"}, []string{"is Java 8, and Java 17 is needed"}},
		{"unreadable", map[string]string{"java": "echo hello", "mvn": "exit 9"}, []string{"no version in"}},
		{
			"a download that fails half-way",
			map[string]string{"java": goodJava, "mvn": "/bin/mkdir -p lib; echo > lib/one.jar; echo 'Could not transfer artifact' ; exit 1"},
			[]string{"fetch the jars of kafka", "Maven Central", "Could not transfer artifact"},
		},
		{"a download that is too small", map[string]string{"java": goodJava, "mvn": "/bin/mkdir -p lib; echo > lib/one.jar"}, []string{"only 1 jars came"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cache := t.TempDir()
			cmd := command(t, "run", "--only", "kafka", "--", "/bin/true")
			cmd.Env = []string{"PATH=" + fake(t, tc.programs), "XDG_CACHE_HOME=" + cache, "DOCKER_HOST=unix:///nowhere"}
			got := finish(t, cmd)
			for _, want := range tc.want {
				if got.code != 1 || !strings.Contains(got.stderr, want) {
					t.Errorf("exit code %d, want 1 and %q:\n%s", got.code, want, got.stderr)
				}
			}
			// Half a download must not be taken for a whole one the next time.
			left, err := filepath.Glob(filepath.Join(cache, "multidc-testbed", "*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left in the cache: %q, %v", left, err)
			}
		})
	}
}

func TestUnknownKafka(t *testing.T) {
	got := testbed(t, "up", "--kafka", "2.8")
	if got.code != 2 || !strings.Contains(got.stderr, "there is no Kafka 2.8 here: there are 3.9.1, 4.1.0") {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
}

func TestContainersWithoutAnEngine(t *testing.T) {
	cmd := command(t, "up", "--containers", "--only", "memcached")
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix:///nowhere/docker.sock")
	if got := finish(t, cmd); got.code != 1 || !strings.Contains(got.stderr, "--containers: no Docker engine answers") {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
}
