package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// linkControl cuts, heals and slows the links between the datacenters of a test bed, through its control.
type linkControl struct {
	base   string
	addrs  []string // of the links: one per server and direction
	client *http.Client
}

func newLinkControl(ctx context.Context, control string, addrs ...string) (*linkControl, error) {
	c := &linkControl{
		base: "http://" + control, addrs: addrs,
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, // a click now and then
	}
	if _, _, err := c.state(ctx); err != nil {
		return nil, fmt.Errorf("%sCONTROL: %w", envPrefix, err)
	}
	return c, nil
}

// inventory is what the control tells, as far as it matters here.
type inventory struct {
	Links []struct {
		Addr      string `json:"addr"`
		Mode      string `json:"mode"`
		LatencyMS int64  `json:"latency_ms"`
	} `json:"links"`
}

// state returns what all links do, or "unknown" if they differ.
func (c *linkControl) state(ctx context.Context) (mode string, latency time.Duration, err error) {
	var all inventory
	if err := c.call(ctx, http.MethodGet, "servers", &all); err != nil {
		return "unknown", 0, err
	}
	found := 0
	for _, l := range all.Links {
		if !slices.Contains(c.addrs, l.Addr) {
			continue
		}
		if found++; found > 1 && l.Mode != mode {
			return "unknown", latency, nil
		}
		mode, latency = l.Mode, max(latency, time.Duration(l.LatencyMS)*time.Millisecond)
	}
	if found < len(c.addrs) {
		return "unknown", 0, fmt.Errorf("it does not know the links %s: is the env file of another test bed?", strings.Join(c.addrs, ", "))
	}
	return mode, latency, nil
}

func (c *linkControl) cut(ctx context.Context) error  { return c.each(ctx, "cut") }
func (c *linkControl) heal(ctx context.Context) error { return c.each(ctx, "heal") }

func (c *linkControl) latency(ctx context.Context, d time.Duration) error {
	return c.each(ctx, "latency?ms="+strconv.FormatInt(d.Milliseconds(), 10))
}

func (c *linkControl) each(ctx context.Context, verb string) error {
	for _, addr := range c.addrs {
		if err := c.call(ctx, http.MethodPost, "links/"+url.PathEscape(addr)+"/"+verb, nil); err != nil {
			return err
		}
	}
	return nil
}

func (c *linkControl) call(ctx context.Context, method, path string, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.base+"/v1/"+path, http.NoBody) //nolint:gosec // the test bed's own address
	if err != nil {
		return err
	}
	res, err := c.client.Do(r) //nolint:gosec // likewise
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // read to its end, or useless
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the test bed's control answers %s: %s", res.Status, strings.TrimSpace(string(body)))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(body, answer)
}
