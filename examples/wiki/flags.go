package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/multidc/multidc/chronology"
)

// config is the command line.
type config struct {
	addrA, addrB string
	importDir    string // "" = the documentation on this machine
	lag          time.Duration
	lagSet       bool   // -lag was given
	dataDir      string // "" = a temporary one
	servers      string // "" = embedded databases and caches
	state        string // file that says who is the primary; "" = in memory
	rollout      float64
	own          chronology.Mode // token or store
}

var errHelp = flag.ErrHelp

// parseFlags reads the command line, and rejects what can be seen to be wrong with it.
func parseFlags(args []string, out io.Writer) (config, error) {
	var cfg config
	set := flag.NewFlagSet("wiki", flag.ContinueOnError)
	set.SetOutput(out)
	cfg.own = chronology.TokenMode
	set.StringVar(&cfg.addrA, "a", "127.0.0.1:8081", "`address` of datacenter a")
	set.StringVar(&cfg.addrB, "b", "127.0.0.1:8082", "`address` of datacenter b")
	set.StringVar(&cfg.importDir, "import", "", "import the Markdown and text files of `DIR` (default: the documentation of Go and its modules)")
	set.DurationVar(&cfg.lag, "lag", 300*time.Millisecond, "how far one datacenter follows behind the other; with -servers the latency of the link, left as it is unless given")
	set.StringVar(&cfg.dataDir, "data", "", "keep the embedded databases in `DIR` (default: a temporary one)")
	set.StringVar(&cfg.servers, "servers", "", "use the MariaDB and memcached servers of the test bed whose `ENVFILE` this is")
	set.StringVar(&cfg.state, "state", "", "`FILE` that says which datacenter is the primary; the wiki follows it when it changes (default: in the -data directory, else in memory)")
	set.Float64Var(&cfg.rollout, "rollout", 100, "`PERCENT` of the clients that read in the datacenter where they come in; the others' reads, and all edits, go to the primary")
	set.Func("own", "where it is remembered which edits of its own a client must see: in the client's cookie (`token|store`, default token), or in a store of each datacenter",
		func(text string) error { return cfg.setOwn(chronology.Mode(text)) })
	if err := set.Parse(args); err != nil {
		return config{}, err
	}
	if cfg.state == "" && cfg.dataDir != "" {
		cfg.state = filepath.Join(cfg.dataDir, "state.json")
	}
	set.Visit(func(f *flag.Flag) { cfg.lagSet = cfg.lagSet || f.Name == "lag" })
	if set.NArg() > 0 {
		return config{}, fmt.Errorf("unexpected argument %q: everything is a flag, see -h", set.Arg(0))
	}
	return cfg, cfg.check()
}

func (cfg *config) setOwn(mode chronology.Mode) error {
	if mode != chronology.TokenMode && mode != chronology.StoreMode {
		return errors.New("want token or store")
	}
	cfg.own = mode
	return nil
}

func (cfg *config) check() error {
	if err := errors.Join(checkAddr("-a", cfg.addrA), checkAddr("-b", cfg.addrB)); err != nil {
		return err
	}
	if _, port, _ := net.SplitHostPort(cfg.addrA); port != "0" && cfg.addrA == cfg.addrB {
		return fmt.Errorf("-a and -b are both %s: each datacenter needs an address of its own", cfg.addrA)
	}
	if err := checkLag(cfg.lag); err != nil {
		return fmt.Errorf("-lag: %w", err)
	}
	if !(cfg.rollout >= 0 && cfg.rollout <= 100) { // nor NaN
		return fmt.Errorf("-rollout: %v: want 0 to 100", cfg.rollout)
	}
	if cfg.servers != "" && cfg.dataDir != "" {
		return errors.New("-data is for the embedded databases and -servers for those of a test bed: give one of them")
	}
	if cfg.importDir != "" {
		dir, err := filepath.EvalSymlinks(cfg.importDir)
		if err != nil {
			return fmt.Errorf("-import: %w", err)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("-import: %s is not a directory", cfg.importDir)
		}
		cfg.importDir = dir
	}
	return nil
}

func checkAddr(name, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %q is no address: want host:port", name, addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%s: %q is no port: want a number up to 65535", name, port)
	}
	return nil
}

// maxLag is enough for every demonstration, and keeps a typing error from looking like a cut.
const maxLag = 10 * time.Minute

func checkLag(d time.Duration) error {
	if d < 0 || d > maxLag {
		return fmt.Errorf("%s: want 0s to %s", d, maxLag)
	}
	return nil
}
