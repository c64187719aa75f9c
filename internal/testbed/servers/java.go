package servers

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/multidc/multidc/internal/testbed/bed"
	"github.com/multidc/multidc/internal/testbed/proc"
)

// javaPrograms are what every server on the Java machine needs; Maven fetches its jars.
var javaPrograms = []bed.Program{
	{Name: "java", Package: "openjdk-17-jre-headless"},
	{Name: "mvn", Package: "maven"},
}

// leastJava is what Kafka 4 demands and what Cassandra 5 is made for.
const leastJava = 17

// javaServer returns the Java that runs a server, and the folder of its jars: of this machine, or of the image.
func javaServer(ctx context.Context, set *bed.Set, name, version, inImage string) (program, lib string, err error) {
	if set.Bed.Contained(name) {
		return "java", inImage, nil
	}
	if program, err = java(ctx); err != nil {
		return "", "", fmt.Errorf("%s: %w", name, err)
	}
	lib, err = jars(ctx, set, name, version)
	return program, lib, err
}

// java returns the path of a Java that is new enough.
func java(ctx context.Context) (string, error) {
	path, ok := proc.Find("java")
	if !ok {
		return "", errors.New("java is not installed: it is in Debian's package openjdk-17-jre-headless")
	}
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s -version: %w%s", path, err, proc.Quote(string(out)))
	}
	version, err := javaMajor(string(out))
	if err != nil {
		return "", fmt.Errorf("%s -version: %w", path, err)
	}
	if version < leastJava {
		return "", fmt.Errorf("%s is Java %d, and Java %d is needed: put one in PATH, or install openjdk-17-jre-headless", path, version, leastJava)
	}
	return path, nil
}

var quotedVersion = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

// javaMajor reads what java -version prints: version "17.0.15" or, before Java 9, version "1.8.0_392".
func javaMajor(out string) (int, error) {
	match := quotedVersion.FindStringSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("no version in %q", out)
	}
	return strconv.Atoi(match[1])
}

//go:embed jars/*.xml
var poms embed.FS

// jars returns the folder with the jars of a server in some version. They are fetched from Maven Central once per
// machine, and kept in the user's cache.
func jars(ctx context.Context, set *bed.Set, name, version string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("jars of %s: %w", name, err)
	}
	dir := filepath.Join(cache, "multidc-testbed", name+"-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // a cache of public files
		return "", fmt.Errorf("jars of %s: %w", name, err)
	}
	aside, err := os.MkdirTemp(filepath.Dir(dir), name+"-")
	if err != nil {
		return "", fmt.Errorf("jars of %s: %w", name, err)
	}
	defer os.RemoveAll(aside)
	if err := fetchJars(ctx, set, name, version, aside); err != nil {
		return "", fmt.Errorf("fetch the jars of %s %s from Maven Central: %w", name, version, err)
	}
	// Only a whole folder gets the name that the next one looks for. Another bed may have been faster.
	if err := os.Rename(filepath.Join(aside, "lib"), dir); err != nil {
		if _, statErr := os.Stat(dir); statErr != nil {
			return "", fmt.Errorf("jars of %s: %w", name, err)
		}
	}
	return dir, nil
}

func fetchJars(ctx context.Context, set *bed.Set, name, version, aside string) error {
	pom, err := poms.ReadFile("jars/" + name + ".xml")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(aside, "pom.xml"), pom, 0o600); err != nil {
		return err
	}
	err = set.Bed.RunToEnd(ctx, bed.Command{
		Kind: "maven", Program: "mvn", Dir: aside, Log: set.Path(name + "-jars.log"),
		Args: []string{"-q", "-B", "-Djars.version=" + version, "dependency:copy-dependencies",
			"-DincludeScope=runtime", "-DoutputDirectory=lib"},
	})
	if err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(aside, "lib", "*.jar"))
	if err == nil && len(found) < 10 {
		err = fmt.Errorf("only %d jars came", len(found))
	}
	return err
}

// smallJVM are flags for a server that shares a small machine with many others. The first compiler alone starts
// faster and needs less; benchmarks want both.
func smallJVM(heap string) []string {
	return strings.Fields("-Xms" + heap + " -Xmx" + heap + " -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1")
}
