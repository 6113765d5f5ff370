package config

import (
	"reflect"
	"testing"

	"github.com/primebft/prime/internal/group"
)

// FuzzCluster: any bytes give a cluster or named faults, and what is accepted is written so that it reads back equal.
func FuzzCluster(f *testing.F) {
	replicas, err := Layout(group.MustNew(0, 1), BasePort, nil, "")
	if err != nil {
		f.Fatal(err)
	}
	for i := range replicas {
		replicas[i].PublicKey = make([]byte, 32)
		replicas[i].PublicKey[0] = byte(i + 1)
	}
	c := Cluster{Name: "n", ID: [32]byte{1}, Epoch: 1, K: 1, Auth: AuthClient, Verification: VerificationRule,
		Limits: DefaultLimits(), Replicas: replicas, Clients: [][32]byte{{3}, {4}}}
	f.Add(c.Encode())
	c.Clients, c.AnyClient = nil, true
	f.Add(c.Encode())
	f.Add([]byte("name = 1\n[limits]\nhistory = 'x'\n[[replica]]\n"))
	f.Add([]byte("replica = [1, {id = 2}]\nclients = [\"x\", 3]\nlimits.history = 2\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseCluster(ClusterFile, data)
		if err != nil {
			wellNamed(t, err)
			return
		}
		again, err := ParseCluster(ClusterFile, c.Encode())
		if err != nil || !reflect.DeepEqual(c, again) || c.Digest() != again.Digest() {
			t.Errorf("%v\n%+v\n%+v\n%s", err, c, again, c.Encode())
		}
	})
}

// FuzzNode is FuzzCluster for node.toml.
func FuzzNode(f *testing.F) {
	for _, p := range Presets() {
		n, _ := p.Node()
		n.ID = 1
		f.Add(n.Encode())
		f.Add(n.EncodeAll())
	}
	f.Add([]byte("id = 1\npreset = 'wan'\n[app]\nsocket = 'a\"b\\c'\n[network]\nrecon_share = 1e-1\ntiming = 3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := ParseNode(NodeFile, data)
		if err != nil {
			wellNamed(t, err)
			return
		}
		for _, text := range [][]byte{n.Encode(), n.EncodeAll()} {
			if again, err := ParseNode(NodeFile, text); err != nil || n != again {
				t.Errorf("%v\n%+v\n%+v\n%s", err, n, again, text)
			}
		}
	})
}

// FuzzHosts: the original's address files, and public files, from any bytes.
func FuzzHosts(f *testing.F) {
	f.Add([]byte("1 192.0.2.1\n2 192.0.2.2:7200 # two\n\n3 [2001:db8::1]:80\n4 ::1\n"))
	f.Add([]byte("id = 1\npeers = 'a:1'\nclients = 'a:2'\npublic_key = '" + zeros[:63] + "1'\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		hosts, err := ParseHosts("address.config", data)
		if err != nil {
			wellNamed(t, err)
		} else if g, err := group.ForSize(len(hosts)); err == nil {
			replicas, err := Layout(g, BasePort, hosts, "address.config")
			if err != nil {
				t.Errorf("%v: %v", hosts, err)
			}
			for _, r := range replicas {
				if checkListen(r.PeerAddress) != nil || checkListen(r.ClientAddress) != nil {
					t.Errorf("%v became %v", hosts, r)
				}
			}
		}
		r, err := ParsePublic("r1.public.toml", data)
		if err != nil {
			wellNamed(t, err)
			return
		}
		if again, err := ParsePublic("r1.public.toml", r.EncodePublic()); err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%v\n%+v\n%+v", err, r, again)
		}
	})
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// wellNamed demands that an error tells file, fault and remedy, in little space.
func wellNamed(t *testing.T, err error) {
	t.Helper()
	problems := Problems(err)
	if len(problems) == 0 || len(problems) > maxProblems {
		t.Errorf("%d faults: %v", len(problems), err)
	}
	for _, p := range problems {
		if p.File == "" || p.What == "" || p.Remedy == "" || len(p.Error()) > 2000 {
			t.Errorf("%+v", p)
		}
	}
}
