package dcroute

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// 3.7: Host, cookies, and the bytes of the target are unchanged; what a client could lie about is not believed; what is
// hop-by-hop is dropped, both ways. 3.6: the sender's headers. 4.3: what is between routers never reaches the client.
func TestHeadersOverEveryProtocol(t *testing.T) {
	overEveryProtocol(t, func(t *testing.T, p protocols) {
		var arrived *http.Request
		var body []byte
		f := p.front(t, func(w http.ResponseWriter, r *http.Request) {
			arrived = r
			body, _ = io.ReadAll(r.Body)
			for _, name := range []string{headerHop, headerLoop, headerEpoch, "X-Private", "X-Kept"} {
				w.Header().Set(name, "7")
			}
			w.Header().Set("Connection", "X-Private")
			_, _ = io.WriteString(w, "from a")
		})
		headers := []string{
			"X-DC-Hop: forged", "X-DC-Hop: again", "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil",
			"X-Forwarded-Proto: gopher", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /x", "X-Real-IP: 192.0.2.1", "X-DC-Non-Write: true", "X-DC-Force: a",
			"X-DC-Force-Read-Only: x", `Cookie: a=b; c="d"`, "CDN-Loop: other; v=1", "X-Kept: 1", "Accept-Encoding: identity", "Authorization: Basic eA==",
		}
		if p.client == http1 { // the others are no HTTP/2
			headers = append(headers, "Connection: X-Mine, close", "X-Mine: 1", "Keep-Alive: 1", "Proxy-Connection: x", "Proxy-Authorization: x")
		}
		const target = "/p%2Fa//b/../c?x=1;y=2&z=%zz"
		got := f.ask("POST", target, strings.NewReader("text"), headers...)
		f.expect("forwarded", got, 200, "from a")
		same(t, "body", string(body), "text")
		same(t, "target", arrived.RequestURI, target)
		scheme, host, _ := strings.Cut(f.server.URL, "://")
		same(t, "host", arrived.Host, host)
		for name, want := range map[string]string{
			"X-Forwarded-For": "[127.0.0.1]", "X-Forwarded-Host": "[" + host + "]", "X-Forwarded-Proto": "[" + scheme + "]",
			"Forwarded": "[]", "X-Forwarded-Port": "[]", "X-Forwarded-Prefix": "[]", "X-Real-Ip": "[]",
			"X-Dc-Non-Write": "[]", "X-Dc-Force": "[]", "X-Dc-Force-Read-Only": "[]",
			"X-Mine": "[]", "Keep-Alive": "[]", "Proxy-Connection": "[]", "Proxy-Authorization": "[]",
			"Cdn-Loop": "[other; v=1, multidc]", "Cookie": `[a=b; c="d"]`, "X-Kept": "[1]", "Authorization": "[Basic eA==]",
		} {
			same(t, name, arrived.Header[name], want)
		}
		if hops := arrived.Header[headerHop]; len(hops) != 1 || !strings.HasPrefix(hops[0], "v1.b.a.1.1.") {
			t.Errorf("hop %q", hops)
		}

		if p.link == http1 { // HTTP/2 has no Connection
			same(t, "answer's X-Private", got.header["X-Private"], "[]")
		}
		for name, want := range map[string]string{headerHop: "[]", headerLoop: "[]", headerEpoch: "[]", "X-Kept": "[7]", headerDC: "[a; via=b; reason=write]"} {
			same(t, "answer's "+name, got.header[name], want)
		}
		same(t, "OnForward", fmt.Sprintf("%+v", f.sent()), fmt.Sprintf("%+v", []ForwardInfo{{DC: "a", Addr: f.sent()[0].Addr, Attempt: 1, Status: 200, Sent: true}}))
		if told := f.lastDecision(t); told.Status != 200 || short(told.Decision) != "to a write" || told.Took <= 0 || told.StickySet {
			t.Errorf("OnDecision %+v", told)
		}
	})
}

// 3.7, "hop-by-hop headers dropped": what a client's Connection names does not take away what the routers need.
func TestConnectionNamesOurHeaders(t *testing.T) {
	var arrived http.Header
	f := protocols{http1, http1}.front(t, func(_ http.ResponseWriter, r *http.Request) { arrived = r.Header })
	f.ask("POST", "/", nil, "Connection: X-DC-Hop, CDN-Loop, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto", "CDN-Loop: other")
	for _, name := range []string{headerHop, headerLoop, "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		same(t, name, len(arrived[name]), 1)
	}
}

// 3.7, "request-target bytes unchanged", and section 6: whatever a client writes there.
func TestTargetsArriveByteForByte(t *testing.T) {
	var arrived string
	f := protocols{http1, http1}.front(t, func(_ http.ResponseWriter, r *http.Request) { arrived = r.RequestURI })
	for _, target := range []string{
		"/", "/?", "/a?", "/a%2fb", "/a%2Fb%20c", "/a;b=c", "/a|b", `/a"b`, "/a^b`{}", "/%E4%F6", "/a?x=%zz&y", "/a??b", "/./a/../b/", "//a/b", "//a%2Fb",
		"/a//", `/?a="<>|^`, "/a:b@c", "/*", "/\xc3\xa9", "/a?\xc3\xa9", "///", "/a#b",
	} {
		arrived = ""
		_, in := f.send("POST " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		f.expect(target, f.receive(in), 200, "")
		same(t, "arrived", arrived, target)
	}
}

// 3.7: the same for a target in absolute form, whose host counts.
func TestTargetInAbsoluteForm(t *testing.T) {
	arrived := ""
	f := protocols{http1, http1}.front(t, func(_ http.ResponseWriter, r *http.Request) { arrived = r.Host + " " + r.RequestURI })
	_, in := f.send("POST http://wiki.example/a%2Fb?x=%zz HTTP/1.1\r\nHost: other\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	f.expect("forwarded", f.receive(in), 200, "")
	same(t, "arrived", arrived, "wiki.example /a%2Fb?x=%zz")
}

// 3.7: X-Forwarded-For is ClientIP's, and none if that knows none; X-Forwarded-Proto is https by ForceSecure (2). 3.6: our
// token is appended to CDN-Loop, in how many lines it came.
func TestForwardedHeadersByOptions(t *testing.T) {
	var arrived http.Header
	var host string
	a := upstreamOf(t, http1, func(_ http.ResponseWriter, r *http.Request) { arrived, host = r.Header, r.Host })
	f := newFront(t, http1, a, func(o *Options) {
		o.ForceSecure = true
		o.ClientIP = func(r *http.Request) netip.Addr {
			ip, _ := netip.ParseAddr(r.Header.Get("X-Edge-IP"))
			return ip
		}
	})
	r := f.newRequest("POST", "/", nil, "X-Edge-IP: 2001:db8::1", "CDN-Loop: x", "CDN-Loop: y; v=1")
	r.Host = "Wiki.Example:8080"
	if _, err := f.try(r); err != nil {
		t.Fatal(err)
	}
	same(t, "host", host, "Wiki.Example:8080")
	for name, want := range map[string]string{
		"X-Forwarded-Host": "[Wiki.Example:8080]", "X-Forwarded-Proto": "[https]", "X-Forwarded-For": "[2001:db8::1]", headerLoop: "[x, y; v=1, multidc]",
	} {
		same(t, name, arrived[name], want)
	}
	f.ask("POST", "/", nil, "X-Forwarded-For: 192.0.2.1")
	same(t, "X-Forwarded-For without ClientIP", arrived["X-Forwarded-For"], "[]")
}

// 3.7: "on a local answer none of this is touched".
func TestHeadersOfALocalAnswerStay(t *testing.T) {
	headers := []string{"Forwarded: x", "X-Forwarded-For: 1", "X-Real-IP: 1", "X-Forwarded-Proto: x", "CDN-Loop: x"}
	record(newRouter(t, nil, nil), request("GET", "/", headers...), func(_ http.ResponseWriter, r *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			same(t, name, r.Header.Get(name), value)
		}
	})
}

// 2, NoHeaders: no X-DC on forwarded answers either.
func TestNoHeadersOfForwardedAnswers(t *testing.T) {
	f := newFront(t, http1, upstreamOf(t, http1, nothing), func(o *Options) { o.NoHeaders = true })
	for _, method := range []string{"GET", "POST"} {
		got := f.ask(method, "/", nil)
		f.expect(method, got, 200, "")
		same(t, method+": X-DC", got.header[headerDC], "[]")
	}
}

// 3.2: a client's own X-DC-Non-Write is removed in all its lines, and next sees the rule's alone.
func TestNonWriteInSeveralLines(t *testing.T) {
	rt := newRouter(t, nil, func(o *Options) {
		o.Rules.Rules = []Rule{{Name: "search", Path: "/search", Action: RuleNonWrite}}
	})
	for what, want := range map[string]string{"POST /search": "[true]", "GET /": "[]"} {
		method, target, _ := strings.Cut(what, " ")
		rec := record(rt, request(method, target, "X-DC-Non-Write: forged", "X-DC-Non-Write: true"), func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, r.Header[headerNonWrite])
		})
		same(t, what, rec.Body, want)
	}
}
