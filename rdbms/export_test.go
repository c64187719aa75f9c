package rdbms

// NewBuiltin is the engine that a Cluster has if no other is given.
func NewBuiltin() Engine { return newBuiltin("", false) }
