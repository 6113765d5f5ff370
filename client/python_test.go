package client_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/primebft/prime/client"
	"github.com/primebft/prime/config"
	"github.com/primebft/prime/internal/clientwire"
	"github.com/primebft/prime/internal/gateway/gatewaytest"
	"github.com/primebft/prime/internal/reply"
	"github.com/primebft/prime/internal/wire"
)

// pemFiles writes a client's certificate and key as the Python example wants them.
func pemFiles(t *testing.T, key ed25519.PrivateKey) (certFile, keyFile string) {
	t.Helper()
	cert, err := clientwire.Certificate(key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, bytes []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("client.crt", "CERTIFICATE", cert.Certificate[0]), write("client.key", "PRIVATE KEY", der)
}

// python runs the example against the cluster and returns what it printed.
func python(t *testing.T, c *gatewaytest.Cluster, change func(args []string) []string, updates ...string) (string, error) {
	t.Helper()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not here")
	}
	if out, err := exec.Command(interpreter, "-c", "import ssl; ssl.TLSVersion.TLSv1_3").CombinedOutput(); err != nil {
		t.Skipf("python3 has no TLS 1.3: %s", out)
	}
	certFile, keyFile := pemFiles(t, gatewaytest.Key("python"))
	args := []string{"../examples/python/prime_client.py", "--cert", certFile, "--key", keyFile, "--cluster",
		hex.EncodeToString(c.ID[:]), "--f", fmt.Sprint(c.Group.F()), "--retry", "0.2"}
	for _, r := range c.Replicas {
		args = append(args, "--replica", fmt.Sprintf("%d=%s=%x", r.ID, r.Address, []byte(r.Key.Public().(ed25519.PublicKey))))
	}
	if change != nil {
		args = change(args)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, append(args, updates...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestPython: the example submits and believes what f+1 replicas say, past one that lies and swallows and one that is gone.
func TestPython(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	cluster.Replicas[0].OnSubmit = func(wire.Update) error { return gatewaytest.ErrSwallow }
	cluster.Replicas[0].OnReply = func(r *reply.Reply) bool { r.Result = []byte("a lie"); return true }
	cluster.Replicas[1].Close()
	out, err := python(t, cluster, nil, "hello", "world")
	if err != nil || out != "1.1 ok:hello\n2.1 ok:world\n" {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestPythonPinsKeys: a replica with another key than the configured one does not count.
func TestPythonPinsKeys(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	out, err := python(t, cluster, func(args []string) []string {
		for i, a := range args {
			if id, rest, ok := strings.Cut(a, "="); ok && id != "1" {
				address, _, _ := strings.Cut(rest, "=")
				args[i] = fmt.Sprintf("%s=%s=%064s", id, address, id)
			}
		}
		return args
	}, "hello")
	if err == nil || !strings.Contains(out, "connected to 1 replicas, 2 are needed") || !strings.Contains(out, "wrong key") {
		t.Fatalf("%v\n%s", err, out)
	}
	if cluster.Executed() != 0 {
		t.Fatal("it submitted")
	}
}

// clusterFile writes the cluster's configuration as prime init does.
func clusterFile(t *testing.T, c *gatewaytest.Cluster) string {
	t.Helper()
	cfg := config.Cluster{
		Name: "test", ID: c.ID, Epoch: 1, F: c.Group.F(), K: c.Group.K(), Auth: config.AuthReplica,
		Verification: config.VerificationRule, AnyClient: true, Limits: config.DefaultLimits(),
	}
	for i, r := range c.Replicas {
		cfg.Replicas = append(cfg.Replicas, config.Replica{
			ID: int(r.ID), PeerAddress: fmt.Sprintf("127.0.0.1:%d", i+1), ClientAddress: r.Address,
			PublicKey: r.Key.Public().(ed25519.PublicKey),
		})
	}
	path := filepath.Join(t.TempDir(), "cluster.toml")
	if err := os.WriteFile(path, cfg.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestClusterFile: both clients work from a cluster.toml and the key that openssl makes.
func TestClusterFile(t *testing.T) {
	t.Parallel()
	cluster := gatewaytest.New(t, four(), nil)
	file := clusterFile(t, cluster)
	certFile, keyFile := pemFiles(t, gatewaytest.Key("alice"))
	if openssl, err := exec.LookPath("openssl"); err == nil {
		dir := t.TempDir()
		certFile, keyFile = filepath.Join(dir, "client.crt"), filepath.Join(dir, "client.key")
		out, err := exec.Command(openssl, "req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", keyFile, "-out", certFile,
			"-days", "3650", "-subj", "/CN=client").CombinedOutput()
		if err != nil {
			t.Skipf("openssl cannot make an Ed25519 key: %s", out)
		}
		if err = os.Chmod(keyFile, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := client.Load(file, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, cfg)
	r, err := c.Submit(context.Background(), []byte("go"))
	if err != nil || string(r.Value) != "ok:go" {
		t.Fatal(r, err)
	}
	c.Close()
	out, err := python(t, cluster, func(args []string) []string {
		if exec.Command("python3", "-c", "import tomllib").Run() != nil {
			t.Skip("this python3 does not read TOML")
		}
		return []string{args[0], "--cert", certFile, "--key", keyFile, "--config", file}
	}, "python")
	if err != nil || out != "2.1 ok:python\n" {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err = client.Load(file, certFile); err == nil {
		t.Error("a certificate was taken for a key")
	}
	if _, err = client.Load(keyFile, keyFile); err == nil {
		t.Error("a key was taken for a cluster.toml")
	}
}
