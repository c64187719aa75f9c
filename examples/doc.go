// Package examples holds programs that show multidc at work.
//
//	go run ./examples/wiki
//
// is a wiki in two datacenters in one process, and the place to see how the packages are wired together. Nothing of
// this module is meant to be imported.
package examples
