// Package lint is the rules of the house as tests: sizes, who may import whom, what the deterministic core must not use, and
// words that must not appear. CONTRIBUTING.md gives the rules with their reasons.
package lint
