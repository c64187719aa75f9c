package servers_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/multidc/multidc/internal/testservers"
)

// cluster is a Swift cluster as a client sees it.
type cluster struct {
	t               *testing.T
	token, storage  string
	realm, realmKey string
	client          *http.Client
}

// swift gets a token by the variable's value.
func swift(t *testing.T, variable string) *cluster {
	t.Helper()
	u, err := url.Parse(variable)
	if err != nil {
		t.Fatal(err)
	}
	if u.Query().Get("mode") != "signed" {
		t.Fatalf("%s: mode is not signed", variable)
	}
	c := &cluster{t: t, realm: u.Query().Get("realm"), realmKey: u.Query().Get("realmkey"), client: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second,
	}}
	key, _ := u.User.Password()
	status, _, header := c.send(http.MethodGet, "http://"+u.Host+u.Path, "", map[string]string{"X-Auth-User": u.User.Username(), "X-Auth-Key": key})
	if status != http.StatusOK {
		t.Fatalf("%s: token: %d", variable, status)
	}
	// The storage URL names the cluster's own address: through a link it is the link's.
	storage, err := url.Parse(header.Get("X-Storage-Url"))
	if err != nil {
		t.Fatal(err)
	}
	storage.Host = u.Host
	c.token, c.storage = header.Get("X-Auth-Token"), storage.String()
	return c
}

func (c *cluster) send(method, address, body string, header map[string]string) (status int, text string, answer http.Header) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(within(c.t, 30*time.Second), method, address, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	got, err := c.client.Do(request)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, address, err)
	}
	defer got.Body.Close()
	read, err := io.ReadAll(got.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return got.StatusCode, string(read), got.Header
}

func (c *cluster) do(method, path, body string) (int, string) {
	c.t.Helper()
	status, text, _ := c.send(method, c.storage+path, body, map[string]string{"X-Auth-Token": c.token, "X-Container-Sync-Key": "uk"})
	return status, text
}

// signed sets its own X-Timestamp, which only a signature of the realm allows.
func (c *cluster) signed(method, path, body string, seconds int) int {
	c.t.Helper()
	storage, err := url.Parse(c.storage)
	if err != nil {
		c.t.Fatal(err)
	}
	stamp, nonce := fmt.Sprintf("%010d.00000", seconds), "n1"
	mac := hmac.New(sha1.New, []byte(c.realmKey))
	mac.Write([]byte(strings.Join([]string{method, storage.Path + path, stamp, nonce, "uk"}, "\n")))
	status, _, _ := c.send(method, c.storage+path, body, map[string]string{
		"X-Timestamp": stamp, "X-Container-Sync-Auth": c.realm + " " + nonce + " " + hex.EncodeToString(mac.Sum(nil)),
	})
	return status
}

func (c *cluster) must(want int, method, path, body string) string {
	c.t.Helper()
	status, text := c.do(method, path, body)
	if status != want {
		c.t.Fatalf("%s %s: %d, want %d: %s", method, path, status, want, text)
	}
	return text
}

func TestSwiftInBothDCs(t *testing.T) {
	for i, name := range []string{"SWIFT_A", "SWIFT_B", "SWIFT_A_VIA_B", "SWIFT_B_VIA_A"} {
		c := swift(t, testservers.Var(t, name))
		container := fmt.Sprintf("/testbed-%d", i)
		c.must(http.StatusCreated, http.MethodPut, container, "")
		c.must(http.StatusCreated, http.MethodPut, container+"/o", "hello")
		if got := c.must(http.StatusOK, http.MethodGet, container+"/o", ""); got != "hello" {
			t.Errorf("%s: read back %q", name, got)
		}
		if got := c.must(http.StatusOK, http.MethodGet, container, ""); got != "o\n" {
			t.Errorf("%s: listed %q", name, got)
		}
		c.must(http.StatusNoContent, http.MethodDelete, container+"/o", "")
		c.must(http.StatusNotFound, http.MethodGet, container+"/o", "")
		c.must(http.StatusNoContent, http.MethodDelete, container, "")
	}
}

func TestSwiftIgnoresAnOlderStamp(t *testing.T) {
	for _, name := range []string{"SWIFT_A", "SWIFT_B"} {
		c := swift(t, testservers.Var(t, name))
		c.must(http.StatusCreated, http.MethodPut, "/testbed-stamps", "")
		for _, step := range []struct {
			method, body  string
			stamp, status int
		}{
			{http.MethodPut, "new", 2000, http.StatusCreated},
			{http.MethodPut, "old", 1000, http.StatusAccepted}, // "I have something newer"
			{http.MethodPut, "same", 2000, http.StatusAccepted},
			{http.MethodDelete, "", 1000, http.StatusConflict},
		} {
			if got := c.signed(step.method, "/testbed-stamps/o", step.body, step.stamp); got != step.status {
				t.Errorf("%s: %s %q at %d: %d, want %d", name, step.method, step.body, step.stamp, got, step.status)
			}
		}
		if got := c.must(http.StatusOK, http.MethodGet, "/testbed-stamps/o", ""); got != "new" {
			t.Errorf("%s: an older write won: %q", name, got)
		}
		if got := c.signed(http.MethodDelete, "/testbed-stamps/o", "", 3000); got != http.StatusNoContent {
			t.Errorf("%s: newer delete: %d", name, got)
		}
	}
}

func TestPrivateSwift(t *testing.T) {
	mine := testservers.Swift(t)
	c := swift(t, mine.Var("SWIFT_A"))
	c.must(http.StatusCreated, http.MethodPut, "/c", "")
	c.must(http.StatusCreated, http.MethodPut, "/c/o", "kept")
	mine.Server("swift-a").Stop()
	mine.Server("swift-a").Start()
	c = swift(t, mine.Var("SWIFT_A"))
	if got := c.must(http.StatusOK, http.MethodGet, "/c/o", ""); got != "kept" {
		t.Errorf("after a kill: %q", got)
	}
	mine.Server("swift-a").Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, c.storage, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.Do(request); !errors.Is(err, context.DeadlineExceeded) { //nolint:bodyclose // there is none
		t.Errorf("a paused cluster: %v, want no answer", err)
	}
	mine.Server("swift-a").Resume()
	c.must(http.StatusOK, http.MethodGet, "/c/o", "")
	mine.Between("a", "b").Cut()
	if _, err := c.client.Get(strings.SplitN(strings.Replace(mine.Var("SWIFT_A_VIA_B"), "test%3Atester:testing@", "", 1), "?", 2)[0]); !errors.Is(err, syscall.ECONNREFUSED) { //nolint:bodyclose // there is none
		t.Errorf("through the cut: %v, want a refused connection", err)
	}
}
