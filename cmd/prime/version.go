package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/primebft/prime/internal/wire"
)

// Set by the build: -ldflags "-X main.version=v0.1.0 -X main.revision=…". Without it, the version control of the build tells.
var (
	version  = ""
	revision = ""
)

// versionCmd is prime version.
type versionCmd struct {
	JSON bool `name:"json" help:"Print it as JSON."`
}

// Help is shown below the flags.
func (*versionCmd) Help() string {
	return `Replicas of different wire versions refuse each other; everything else may differ.

Example:
  prime version --json`
}

// versionView is what a build knows of itself.
type versionView struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"` // built from a tree that differs from the revision
	Wire     int    `json:"wire"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// Run prints the version.
func (c *versionCmd) Run(g *globals) error {
	v := buildVersion()
	if c.JSON {
		return g.printJSON(v)
	}
	changed := ""
	if v.Modified {
		changed = " (modified)"
	}
	_, err := fmt.Fprintf(g.out, "prime %s\nrevision %s%s\nwire version %d\n%s %s/%s\n", v.Version, v.Revision, changed, v.Wire, v.Go, v.OS, v.Arch)
	return err
}

// buildVersion asks the linker's flags first, then the build's own record.
func buildVersion() versionView {
	v := versionView{Version: version, Revision: revision, Wire: wire.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v.Version == "" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && v.Revision == "":
				v.Revision = s.Value
			case s.Key == "vcs.modified" && revision == "":
				v.Modified = s.Value == "true"
			}
		}
	}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	if v.Revision == "" {
		v.Revision = "unknown"
	}
	return v
}
