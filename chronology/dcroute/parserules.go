package dcroute

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const rulesVersion = 1

// The JSON of a rule set. Only the shares of hosts are not as in the Go type.
type (
	setJSON struct {
		V       int                 `json:"v"`
		Default hostJSON            `json:"default"`
		Hosts   map[string]hostJSON `json:"hosts"`
		Rules   []Rule              `json:"rules"`
	}
	hostJSON struct {
		HostConfig
		Share *int `json:"share"` // hides HostConfig's
	}
)

// ParseRules reads a rule set in the form that FORMAT.md describes, and checks it as SetRules does. Unknown fields, names that
// are there twice, and other versions are errors.
func ParseRules(data []byte) (*RuleSet, error) {
	if len(data) > maxSetSize {
		return nil, fmt.Errorf("dcroute: ParseRules: %d bytes: want at most %d", len(data), maxSetSize)
	}
	var in setJSON
	if err := unmarshalStrictly(data, &in); err != nil {
		return nil, fmt.Errorf("dcroute: ParseRules: %w", err)
	}
	if in.V != rulesVersion {
		return nil, fmt.Errorf("dcroute: ParseRules: version %d: want %d", in.V, rulesVersion)
	}
	set := &RuleSet{Rules: in.Rules}
	var err error
	if set.Default, err = in.Default.config(); err != nil {
		return nil, fmt.Errorf("dcroute: ParseRules: default: %w", err)
	}
	if in.Hosts != nil {
		set.Hosts = make(map[string]HostConfig, len(in.Hosts))
	}
	for host, config := range in.Hosts {
		if set.Hosts[host], err = config.config(); err != nil {
			return nil, fmt.Errorf("dcroute: ParseRules: hosts: %.64q: %w", host, err)
		}
	}
	if _, err := compile(set); err != nil {
		return nil, err
	}
	return set, nil
}

// config turns the share: in JSON there is a difference between 0 and nothing.
func (h hostJSON) config() (HostConfig, error) {
	c := h.HostConfig
	switch {
	case h.Share == nil:
		c.Share = 0
	case *h.Share == 0:
		c.Share = -1
	case *h.Share < 0:
		return c, fmt.Errorf("share: %d: want 0 to %d", *h.Share, maxShare)
	default:
		c.Share = *h.Share
	}
	return c, nil
}

// unmarshalStrictly is stricter than encoding/json alone, which takes names in any case, the last of several, and repairs what
// is not UTF-8.
func unmarshalStrictly(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	if err := checkNames(json.NewDecoder(bytes.NewReader(data)), "", 0); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something behind the end")
	}
	return nil
}

// maxDepth is more than a rule set has.
const maxDepth = 8

// checkNames reads one value; of is the name it stands under. The names in hosts and header are data.
func checkNames(dec *json.Decoder, of string, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxDepth {
		return errors.New("nested too deep")
	}
	seen := map[string]bool{}
	for dec.More() {
		name := ""
		if open == '{' {
			if token, err = dec.Token(); err != nil {
				return err
			}
			name = token.(string)
			if seen[name] {
				return fmt.Errorf("%.64q is there twice", name)
			}
			seen[name] = true
			if of != "hosts" && of != "header" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
				return fmt.Errorf("unknown field %.64q", name)
			}
		}
		if err := checkNames(dec, name, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token() // the end
	return err
}
