package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestSim runs a few worlds and checks what scripts read.
func TestSim(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	if code := run([]string{"sim", "--seeds", "2-4", "--json"}, nil, &out, &errOut); code != exitDone {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	var report struct {
		Seeds      int
		Violations []any
		Events     uint64
		VirtualS   float64 `json:"virtual_s"`
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if report.Seeds != 3 || report.Violations == nil || len(report.Violations) != 0 || report.Events == 0 || report.VirtualS <= 0 {
		t.Fatalf("%s", out.String())
	}
}

// TestSimTrace shows one world, event by event.
func TestSimTrace(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	if code := run([]string{"sim", "--seeds", "5", "--trace"}, nil, &out, &errOut); code != exitDone {
		t.Fatalf("exit code %d: %s", code, errOut.String())
	}
	for _, want := range []string{"world 5: n=", "PO-REQUEST", "PRE-PREPARE", "storm ends"} {
		if !strings.Contains(errOut.String(), want) {
			t.Errorf("the trace does not have %q", want)
		}
	}
	if !strings.Contains(out.String(), "1 worlds") {
		t.Errorf("the end is %q", out.String())
	}
}

// TestSimUsage: wrong ranges of seeds.
func TestSimUsage(t *testing.T) {
	t.Parallel()
	for _, seeds := range []string{"", "x", "9-5", "1-", "-1", "1-2-3"} {
		var out, errOut bytes.Buffer
		if code := run([]string{"sim", "--seeds=" + seeds}, nil, &out, &errOut); code != exitUsage {
			t.Errorf("--seeds %q: exit code %d", seeds, code)
		}
		if !strings.Contains(errOut.String(), "--seeds") {
			t.Errorf("--seeds %q: %q does not name the flag", seeds, errOut.String())
		}
	}
}
