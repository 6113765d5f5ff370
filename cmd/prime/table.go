package main

import "errors"

// table measures the table of docs/performance.md.
func (c *benchCmd) table(g *globals) error { return errors.New("not yet") }
