package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const addressForm = `write "host:port", for example "192.0.2.7:7100" or "[2001:db8::7]:7100"`

// checkName accepts names that are safe in logs, file names and certificates.
func checkName(s string) *Problem {
	if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) {
		return fault("", "use 1 to 64 letters, digits, '-', '_' or '.'", "%q is not a name", short(s))
	}
	return nil
}

// checkAddress accepts host:port where others can reach it: a host that is not a wildcard and a port that is not 0.
func checkAddress(s string) *Problem {
	host, _, p := splitAddress(s)
	if p != nil {
		return p
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return fault("", "write the address that others connect to; listen_peers and listen_clients in node.toml may be wider",
			"%q names no host", s)
	}
	return nil
}

// checkListen accepts nothing at all, or host:port to listen on, the host empty for every address of the machine.
func checkListen(s string) *Problem {
	if s == "" {
		return nil
	}
	_, _, p := splitAddress(s)
	return p
}

// splitAddress takes host:port apart. A host is an IP address or a DNS name.
func splitAddress(s string) (host string, port int, p *Problem) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, fault("", addressForm, "%q is not an address", short(s))
	}
	port, err = strconv.Atoi(digits)
	if err != nil || port < 1 || port > 65535 || digits != strconv.Itoa(port) {
		return "", 0, fault("", "write a port from 1 to 65535", "%q is not a port", short(digits))
	}
	if host != "" && !validHost(host) {
		return "", 0, fault("", addressForm, "%q is not a host", short(host))
	}
	return host, port, nil
}

// validHost reports whether s is an IP address or looks like a DNS name.
func validHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		// An IPv6 zone may hold any bytes; those that a name may have are enough for an interface.
		_, zone, _ := strings.Cut(s, "%")
		return !strings.ContainsFunc(zone, notHostByte)
	}
	if s == "" || len(s) > 253 || strings.ContainsFunc(s, notHostByte) {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	// A name whose last label is a number is a mistyped IPv4 address: 192.168.1.300, 10.0.1.
	_, err := strconv.Atoi(labels[len(labels)-1])
	return err != nil
}

func notHostByte(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

// sameAddress is the form in which two spellings of an address are equal.
func sameAddress(s string) string {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return s
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.Unmap().String()
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(host, ".")), port)
}

// loopback reports whether an address can only be reached from its own machine.
func loopback(s string) bool {
	host, _, _ := net.SplitHostPort(s)
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
