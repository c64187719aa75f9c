// Package rdbmstest helps to test what is built on rdbms.
//
// [TestStore] is the conformance suite of [switchover.Store]: run it over a store of your own.
package rdbmstest
