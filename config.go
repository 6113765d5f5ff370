package prime

import "github.com/primebft/prime/config"

// Config is everything that a replica is started with. Package config has its parts, presets and files.
type Config = config.Config

// LoadConfig reads and checks the folder of one replica, as `prime init` and `prime join` make it. The error names every
// fault: file, line, field and remedy.
func LoadConfig(dir string) (Config, error) { return config.Load(dir) }

// LocalConfig are the settings of one replica when all of them are on one machine.
func LocalConfig() config.Node { return config.Local() }

// LANConfig are the settings of one replica when all of them are at one site.
func LANConfig() config.Node { return config.LAN() }

// WANConfig are the settings of one replica when they are at several sites.
func WANConfig() config.Node { return config.WAN() }
