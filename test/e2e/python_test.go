package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPythonClient: the example in Python's standard library submits to a cluster of real processes and reads its results back
// from f+1 replicas, also after one is gone.
func TestPythonClient(t *testing.T) {
	t.Parallel()
	interpreter, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not here")
	}
	if exec.Command(interpreter, "-c", "import ssl, tomllib; ssl.TLSVersion.TLSv1_3").Run() != nil {
		t.Skip("python3 has no TLS 1.3 or no tomllib")
	}
	c := newCluster(t, filepath.Join(t.TempDir(), "c"))
	c.start(1, 2, 3, 4)
	cert, key := clientPEM(t)
	submit := func(texts ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		args := append([]string{"../../examples/python/prime_client.py", "--config", filepath.Join(c.dir, "cluster.toml"),
			"--cert", cert, "--key", key}, texts...)
		out, err := exec.CommandContext(ctx, interpreter, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if out := submit("hello", "world"); !strings.Contains(out, "hello") || !strings.Contains(out, "world") {
		t.Errorf("the echo application's results are missing:\n%s", out)
	}
	_ = c.run[4].cmd.Process.Kill()
	if out := submit("once more"); !strings.Contains(out, "once more") {
		t.Errorf("the result is missing:\n%s", out)
	}
}

// clientPEM makes a client's key and self-signed certificate, as openssl would.
func clientPEM(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "client.crt"), filepath.Join(t.TempDir(), "client.key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
