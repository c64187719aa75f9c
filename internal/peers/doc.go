// Package peers compares multidc with other people's libraries, and tests it under them.
// It is a module of its own so that none of them reaches a user's go.mod.
package peers
