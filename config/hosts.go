package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/primebft/prime/internal/group"
)

// ReadHosts reads a file in the format of the original's address.config: one replica a line, "id ip_address", here with an
// optional ":port" and with names as well as addresses. Empty lines and what follows a # are skipped. Ids are 1 to the number
// of lines, each once, in any order.
func ReadHosts(file string) ([]Host, error) { return loadFile(file, ParseHosts) }

// ParseHosts is ReadHosts for text that has been read; file is its name in messages.
func ParseHosts(file string, data []byte) ([]Host, error) {
	var (
		hosts    []Host
		lines    = map[int]int{} // of each id
		problems []*Problem
	)
	if len(data) > maxFile {
		return nil, &Problem{File: file, What: "it is larger than " + sizeText(maxFile), Remedy: "is it the right file?"}
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		content, _, _ := strings.Cut(line, "#")
		if strings.TrimSpace(content) == "" {
			continue
		}
		h, p := parseHost(strings.Fields(content))
		if first := lines[h.ID]; p == nil && first > 0 {
			p = fault("id", "give each replica one line", "%d is the id on line %d too", h.ID, first)
		}
		if p != nil {
			p.File, p.Line = file, n
			problems = append(problems, p)
			if len(problems) == group.MaxReplicas {
				break // enough to see that this is another kind of file
			}
			continue
		}
		lines[h.ID] = n
		hosts = append(hosts, h)
	}
	if len(problems) == 0 && len(hosts) == 0 {
		problems = append(problems, &Problem{File: file, What: "it lists no replica", Remedy: hostForm})
	}
	if len(problems) == 0 {
		for id, line := range lines {
			if id > len(hosts) {
				problems = append(problems, &Problem{File: file, Line: line, Field: "id",
					What:   fmt.Sprintf("%d is not the id of any of %d replicas", id, len(hosts)),
					Remedy: fmt.Sprintf("number the replicas 1 to %d", len(hosts))})
			}
		}
	}
	return hosts, join(problems)
}

const hostForm = `write "id ip_address" on a line for each replica, for example "1 192.0.2.7" or "1 192.0.2.7:7100"`

// parseHost reads the words of one line.
func parseHost(words []string) (Host, *Problem) {
	if len(words) != 2 {
		return Host{}, fault("", hostForm, "%d words, not 2", len(words))
	}
	id, err := strconv.Atoi(words[0])
	if err != nil || id < 1 || id > group.MaxReplicas {
		return Host{}, fault("id", fmt.Sprintf("write a number from 1 to %d", group.MaxReplicas), "%q is not a replica id", short(words[0]))
	}
	h := Host{ID: id, Host: strings.TrimSuffix(strings.TrimPrefix(words[1], "["), "]")}
	if !validHost(h.Host) { // then it has a port, or is wrong
		host, port, p := splitAddress(words[1])
		if p == nil && (host == "" || port == 65535) {
			p = fault("", "leave room for two ports: port for replicas, port+1 for clients", "%q is not enough", short(words[1]))
		}
		if p != nil {
			p.Field = "address"
			return Host{}, p
		}
		h.Host, h.Port = host, port
	}
	return h, nil
}

// Import lays out a cluster from the original's two files: address.config gives each replica's host, and spines_address.config
// (spines, nil if there is none) the Spines daemon that it was reached through. There is no overlay to go through here:
// replicas connect to each other directly. A daemon that served one replica alone stood at that replica's machine, on the
// network between replicas, so peers use its address and clients the replica's; a daemon that several replicas shared says
// nothing about where they are, and is left out. The second result says for each replica what was decided.
func Import(base int, hosts, spines []Host, files [2]string) (group.Group, []Replica, []string, error) {
	g, err := group.ForSize(len(hosts))
	if err != nil {
		return g, nil, nil, &Problem{File: files[0], What: err.Error(), Remedy: "list another number of replicas, for example 4, 6 or 7"}
	}
	replicas, err := Layout(g, base, hosts, files[0])
	if err != nil {
		return g, nil, nil, err
	}
	if spines != nil && len(spines) != len(hosts) {
		return g, nil, nil, &Problem{File: files[1], What: fmt.Sprintf("it lists %d replicas, but %s lists %d",
			len(spines), files[0], len(hosts)), Remedy: "give two files of one cluster"}
	}
	shared := map[string]int{}
	for _, s := range spines {
		shared[strings.ToLower(s.Host)]++
	}
	notes := make([]string, len(hosts))
	for i := range notes {
		notes[i] = fmt.Sprintf("r%d: peers %s, clients %s", i+1, replicas[i].PeerAddress, replicas[i].ClientAddress)
	}
	for _, s := range spines {
		r := &replicas[s.ID-1]
		if shared[strings.ToLower(s.Host)] > 1 {
			notes[s.ID-1] += fmt.Sprintf(" (its Spines daemon at %s was shared: left out)", s.Host)
			continue
		}
		_, port, _ := splitAddress(r.PeerAddress)
		r.PeerAddress = Addresses(s.ID, base, Host{Host: s.Host, Port: port}).PeerAddress
		notes[s.ID-1] = fmt.Sprintf("r%d: peers %s (address of its Spines daemon), clients %s", s.ID, r.PeerAddress, r.ClientAddress)
	}
	return g, replicas, notes, nil
}
