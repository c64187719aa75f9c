// Package examples holds programs that show multidc at work.
//
//	go run ./examples/wiki
//
// is a wiki in two datacenters in one process, and the place to see how the packages are wired together.
//
//	go run ./examples/replicas
//
// shows in a few seconds which server a read gets, and why, and
//
//	go run ./examples/cache
//
// what a purge does in two DCs, and
//
//	go run ./examples/ownedits
//
// that an author sees the own edit at once in the other DC too. Nothing of this module is meant to be imported.
package examples
