// Package servers holds the kinds of server that a test bed can have, one file for each.
//
// To add a kind, write a file with a function that returns its bed.Kind, and name it in All. Its Start, for every
// DC, takes addresses (Set.Addr), opens the links by which other DCs reach them (Set.Link, before the server starts
// where the server has to know), starts the servers (Set.Start, with a Ready that asks the server something) and
// exports the variables (Set.Export). That is all: stop, start, pause, cut, private instances, leases and clearing up
// are the bed's, and the same for every kind. A server that runs in a container differs in Spec.Start only: it
// returns something else that satisfies bed.Process.
package servers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/multidc/multidc/internal/testbed/bed"
)

// All returns every kind, each after those it needs. Kafka comes in a version that begins as asked for; "" is the
// default.
func All(kafka string) ([]bed.Kind, error) {
	version, err := kafkaVersion(kafka)
	if err != nil {
		return nil, err
	}
	return []bed.Kind{
		memcachedKind(), mariadbKind(), heartbeatKind(), kafkaKind(version), cassandraKind(), swiftKind(),
	}, nil
}

// decode reads a private instance's options into an Options struct. No options are the zero ones; an unknown name is
// an error.
func decode(options json.RawMessage, into any) error {
	if len(bytes.TrimSpace(options)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(options))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w %s: %w", bed.ErrOptions, options, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w %s: more than one JSON value", bed.ErrOptions, options)
	}
	return nil
}

// others returns the DCs but one.
func others(dc string) []string {
	var rest []string
	for _, other := range bed.DCs {
		if other != dc {
			rest = append(rest, other)
		}
	}
	return rest
}
