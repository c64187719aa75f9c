package rdbms

import (
	"cmp"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/multidc/multidc/internal/dcname"
)

// The defaults, as the fields of Options and Server name them.
const (
	defaultPoll         = time.Second
	defaultPollRemote   = 5 * time.Second
	defaultMaxLag       = 6 * time.Second
	defaultPrimaryShare = 0.05
	defaultWait         = time.Second
	mostWait            = 10 * time.Second
	defaultMaxWaiters   = 256
	defaultMaxOpen      = 100
	defaultMaxIdle      = 10
	defaultDialTimeout  = 3 * time.Second
)

var serverName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checked returns the options with their defaults, or an error that names the field.
func (o Options) checked() (Options, error) {
	if err := dcname.Check(o.DC); err != nil {
		return o, fmt.Errorf("rdbms: Options.DC: %w", err)
	}
	if o.Engine != nil && (o.LagFromReplicaStatus || o.Heartbeat.Table != "" || o.Heartbeat.Interval != 0 || o.Heartbeat.Origins != nil) {
		return o, errors.New("rdbms: Options.Engine: Heartbeat and LagFromReplicaStatus are for the built-in engine only")
	}
	if err := o.Heartbeat.Validate(); err != nil {
		return o, fmt.Errorf("rdbms: Options.Heartbeat: %w", err)
	}
	if err := o.checkNumbers(); err != nil {
		return o, err
	}
	o.Poll, o.PollRemote = cmp.Or(o.Poll, defaultPoll), cmp.Or(o.PollRemote, defaultPollRemote)
	o.MaxLag = cmp.Or(o.MaxLag, defaultMaxLag)
	o.PrimaryShare = cmp.Or(o.PrimaryShare, defaultPrimaryShare)
	o.Wait = min(cmp.Or(o.Wait, defaultWait), mostWait)
	o.OnTimeout = cmp.Or(o.OnTimeout, OnTimeoutPrimary)
	o.MaxWaiters = cmp.Or(o.MaxWaiters, defaultMaxWaiters)
	o.Heartbeat.Origins = slices.Clone(o.Heartbeat.Origins)
	if o.ClusterReason == nil {
		o.ClusterReason = func() string { return "" }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o, nil
}

func (o Options) checkNumbers() error {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"Poll", o.Poll}, {"PollRemote", o.PollRemote}, {"MaxLag", o.MaxLag}} {
		if f.value < 0 {
			return fmt.Errorf("rdbms: Options.%s: %v is negative", f.name, f.value)
		}
	}
	if o.Wait > mostWait {
		return fmt.Errorf("rdbms: Options.Wait: %v is more than %v", o.Wait, mostWait)
	}
	if !(o.PrimaryShare <= 1) { // NaN is not either
		return fmt.Errorf("rdbms: Options.PrimaryShare: %v is a share of the reads: want at most 1", o.PrimaryShare)
	}
	if o.MaxWaiters < 0 {
		return fmt.Errorf("rdbms: Options.MaxWaiters: %d is negative", o.MaxWaiters)
	}
	if err := o.OnTimeout.check(); err != nil {
		return fmt.Errorf("rdbms: Options.OnTimeout: %w", err)
	}
	return nil
}

func (p TimeoutPolicy) check() error {
	switch p {
	case "", OnTimeoutPrimary, OnTimeoutStale, OnTimeoutError:
		return nil
	}
	return fmt.Errorf("%q is no policy: want %s, %s or %s", string(p), OnTimeoutPrimary, OnTimeoutStale, OnTimeoutError)
}

// check returns nil, or an error that names the field. DSNs are looked at by connector.
func (c *Config) check() error {
	if dcname.Check(c.Name) != nil { // the alphabet is the same
		return fmt.Errorf("Config.Name: %.80q: want 1 to 32 of a-z, 0-9, -", c.Name)
	}
	if len(c.Servers) == 0 {
		return errors.New("Config.Servers: there is none")
	}
	seen := map[string]bool{}
	for i, s := range c.Servers {
		if err := s.check(); err != nil {
			return fmt.Errorf("Config.Servers[%d]: %w", i, err)
		}
		if seen[s.Name] {
			return fmt.Errorf("Config.Servers[%d].Name: %q is there twice", i, s.Name)
		}
		seen[s.Name] = true
	}
	if !seen[c.Primary] {
		return fmt.Errorf("Config.Primary: %q is not among the servers", c.Primary)
	}
	return c.checkWeights()
}

func (s *Server) check() error {
	if !serverName.MatchString(s.Name) {
		return fmt.Errorf("Name %.80q: want 1 to 64 of A-Z, a-z, 0-9, . _ -", s.Name)
	}
	if err := dcname.Check(s.DC); err != nil {
		return fmt.Errorf("server %s: DC: %w", s.Name, err)
	}
	if (s.DSN == "") == (s.Connector == nil) {
		return fmt.Errorf("server %s: DSN, Connector: give exactly one of them", s.Name)
	}
	for group, weight := range s.Groups {
		if group == "" || weight < 1 {
			return fmt.Errorf("server %s: Groups: group %q has weight %d: want a name, and 1 or more", s.Name, group, weight)
		}
	}
	if s.MaxOpen < 0 || s.MaxIdle < 0 {
		return fmt.Errorf("server %s: MaxOpen, MaxIdle: %d and %d: want 0 or more", s.Name, s.MaxOpen, s.MaxIdle)
	}
	return nil
}

func (c *Config) checkWeights() error {
	if len(c.Servers) == 1 {
		return nil // the primary alone serves all
	}
	for _, s := range c.Servers {
		if genericWeight(s, s.Name == c.Primary) > 0 || len(s.Groups) > 0 {
			return nil
		}
	}
	return errors.New("Config.Servers: no server has a weight or a group: nothing could be read")
}

// link is a server's connector, and what is to be said about it.
type link struct {
	connector driver.Connector
	address   string        // the DSN as it is used
	timeout   time.Duration // of connecting
	warnings  []WarningInfo
}

// connect makes a server's connector. In another DC it must be encrypted and verified, unless that is waived.
func (s *Server) connect(own string, builtin bool) (link, error) {
	l := link{timeout: defaultDialTimeout}
	var encrypted bool
	if s.Connector != nil {
		l.connector, encrypted = s.Connector, s.Encrypted
	} else {
		if !builtin {
			return l, errors.New("DSN: Options.Engine is set, which needs a Connector: a DSN is for MariaDB and MySQL")
		}
		var err error
		if encrypted, err = l.parse(s); err != nil {
			return l, err
		}
	}
	if s.DC == own || encrypted {
		return l, nil
	}
	if !s.AllowPlaintext {
		return l, fmt.Errorf("DSN: it stands in DC %s, this is %s: a connection there must be encrypted and verified. "+
			"Set tls=true, or a registered TLS configuration, in the DSN (Encrypted with a Connector), or AllowPlaintext if the link is encrypted below", s.DC, own)
	}
	l.warnings = append(l.warnings, WarningInfo{Server: s.Name, Kind: WarnPlaintext, Text: "connections to DC " + s.DC + " are not encrypted, as AllowPlaintext says"})
	return l, nil
}

// parse reads the DSN and reports whether the connection is encrypted and the server verified.
func (l *link) parse(s *Server) (encrypted bool, err error) {
	config, err := mysql.ParseDSN(s.DSN)
	if err != nil {
		return false, dsnError(s.DSN, err)
	}
	if config.RejectReadOnly {
		// The driver would report 1290 as a bad connection, and database/sql would run the statement again.
		config.RejectReadOnly = false
		l.warnings = append(l.warnings, WarningInfo{Server: s.Name, Kind: WarnDSN, Text: "rejectReadOnly is turned off: a read-only server is reported as ErrReadOnly"})
	}
	if config.Timeout == 0 {
		config.Timeout = defaultDialTimeout
	}
	l.timeout = config.Timeout
	switch config.TLSConfig {
	case "", "false", "preferred", "skip-verify":
	default:
		encrypted = config.TLS != nil && !config.AllowFallbackToPlaintext && (!config.TLS.InsecureSkipVerify || config.TLS.VerifyConnection != nil || config.TLS.VerifyPeerCertificate != nil)
	}
	l.address = config.FormatDSN()
	l.connector, err = mysql.NewConnector(config)
	if err != nil {
		return false, fmt.Errorf("DSN: %w", err)
	}
	return encrypted, nil
}

// dsnError is why a DSN does not parse. The parser quotes what stands before the address, which is the password if the @
// is missing.
func dsnError(dsn string, err error) error {
	network := dsn[:max(0, strings.LastIndexByte(dsn, '/'))]
	network, _, _ = strings.Cut(network[strings.LastIndexByte(network, '@')+1:], "(")
	if strings.Contains(network, ":") {
		return errors.New("DSN: want user:password@tcp(host:port)/database: the @ is missing, or tcp(…) around the address")
	}
	return fmt.Errorf("DSN: %w", err)
}
