#!/usr/bin/env python3
"""Submit one update to a Prime cluster and print its result. Python's standard library only.

This client counts connections: it is connected to f+1 or more replicas over TLS, has checked that each has the key that the
cluster's configuration gives it, and believes a result when f+1 of them say the same. It is for clusters with
auth = "replica". docs/client-protocol.md describes everything that is said here.

    openssl req -x509 -newkey ed25519 -nodes -keyout client.key -out client.crt -days 3650 -subj /CN=client
    ./prime_client.py --cert client.crt --key client.key --config cluster.toml "hello"

Without a cluster.toml, or with a Python older than 3.11, which cannot read it:

    ./prime_client.py --cert client.crt --key client.key --cluster HEX --f 1 \\
        --replica 1=127.0.0.1:7101=HEX --replica 2=127.0.0.1:7103=HEX --replica 3=127.0.0.1:7105=HEX  "hello"
"""

import argparse
import select
import socket
import ssl
import struct
import sys
import time

VERSION = 1
HELLO, WELCOME, REJECT, SUBMIT, REPLY, REFUSED, PING, PONG = range(1, 9)
AUTH_REPLICA = 1
MAX_FRAME = 5 + 60 + (1 << 20) + 4 + 8 * 32 + 64  # the largest reply
WHY = {1: "duplicate", 2: "session expired", 3: "overloaded", 4: "oversized", 5: "closing", 6: "bad signature",
       7: "result too large"}
DUPLICATE, EXPIRED, OVERLOADED, OVERSIZED, CLOSING, BAD_SIGNATURE, RESULT_LOST = range(1, 8)


class Failed(Exception):
    """The update has no result that can be believed; the text says why."""


def der(data, at=0):
    """Returns (tag, start of contents, end) of the DER value at this place."""
    tag, length = data[at], data[at + 1]
    at += 2
    if length >= 0x80:
        size = length & 0x7F
        length = int.from_bytes(data[at:at + size], "big")
        at += size
    if at + length > len(data):
        raise ValueError("a certificate that ends too early")
    return tag, at, at + length


def ed25519_key(certificate):
    """Returns the public key of an X.509 certificate in DER. It walks to the right field: a search for the bytes of a key
    could be led to another place, such as a name, that whoever made the certificate chose."""
    _, at, _ = der(certificate)          # Certificate
    _, at, _ = der(certificate, at)      # TBSCertificate
    tag, _, end = der(certificate, at)
    if tag == 0xA0:                      # version, if there
        at = end
    for _ in range(5):                   # serial number, algorithm, issuer, validity, subject
        _, _, at = der(certificate, at)
    _, _, end = der(certificate, at)     # SubjectPublicKeyInfo
    info = certificate[at:end]
    prefix = bytes.fromhex("302a300506032b6570032100")  # Ed25519, RFC 8410
    if len(info) != len(prefix) + 32 or not info.startswith(prefix):
        raise ValueError("the certificate has no Ed25519 key")
    return info[len(prefix):]


def frame(kind, body):
    return struct.pack("<IB", 1 + len(body), kind) + body


class Replica:
    """One authenticated connection."""

    def __init__(self, ident, address, key, context, cluster, timeout):
        self.ident = ident
        host, port = address.rsplit(":", 1)
        raw = socket.create_connection((host.strip("[]"), int(port)), timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.conn = context.wrap_socket(raw)
        self.buffer = b""
        # TLS has proved that the replica has the key of the certificate that it sent; so compare that key.
        if ed25519_key(self.conn.getpeercert(binary_form=True)) != key:
            raise Failed("r%d: wrong key" % ident)
        self.conn.sendall(frame(HELLO, struct.pack("<H32sIB", VERSION, cluster, 0, 0)))
        kind, body = self.wait_frame()
        if kind == REJECT:
            code, version, size = struct.unpack_from("<BHH", body)
            raise Failed("r%d: rejected (%d, it speaks version %d): %s" % (ident, code, version, body[5:5 + size].decode()))
        version, theirs, _, number, f, _, auth, _, self.largest = struct.unpack("<H32sIBBBBII", body)
        if (kind, version, theirs, number, auth) != (WELCOME, VERSION, cluster, ident, AUTH_REPLICA):
            raise Failed("r%d: not the replica that was expected, or not a cluster with auth = \"replica\"" % ident)
        self.f = f
        self.conn.setblocking(False)

    def wait_frame(self):
        while True:
            found = self.next_frame()
            if found:
                return found
            data = self.conn.recv(65536)
            if not data:
                raise Failed("r%d closed the connection" % self.ident)
            self.buffer += data

    def next_frame(self):
        """Takes one whole frame from what has been received, if there is one."""
        if len(self.buffer) < 5:
            return None
        size, kind = struct.unpack_from("<IB", self.buffer)
        if not 1 <= size <= MAX_FRAME - 4:
            raise Failed("r%d: frame of %d bytes" % (self.ident, size))
        if len(self.buffer) < 4 + size:
            return None
        body, self.buffer = self.buffer[5:4 + size], self.buffer[4 + size:]
        return kind, body

    def frames(self):
        """Takes what has arrived, without waiting."""
        try:
            while True:
                data = self.conn.recv(65536)
                if not data:
                    raise Failed("r%d closed the connection" % self.ident)
                self.buffer += data
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        while True:
            found = self.next_frame()
            if not found:
                return
            yield found

    def submit(self, seq, payload):
        self.conn.setblocking(True)
        self.conn.sendall(frame(SUBMIT, struct.pack("<QB", seq, 0) + payload))
        self.conn.setblocking(False)


class Client:
    """Connections to the replicas of a cluster, at least f+1 of them."""

    def __init__(self, cluster, f, replicas, cert, key, timeout=5.0):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # no authority vouches for replicas: their keys are compared instead
        context.load_cert_chain(cert, key)
        with open(cert) as text:
            self.ident = ed25519_key(ssl.PEM_cert_to_DER_cert(text.read()))
        self.f, self.seq = f, time.time_ns() // 1000
        if len({key for _, _, key in replicas}) != len(replicas) or len({i for i, _, _ in replicas}) != len(replicas):
            raise Failed("one replica is named twice")
        self.replicas, faults = [], []
        for ident, address, pin in replicas:
            try:
                self.replicas.append(Replica(ident, address, pin, context, cluster, timeout))
            except (OSError, ValueError, struct.error, Failed) as fault:
                faults.append("r%d: %s" % (ident, fault))
        if len(self.replicas) < f + 1:
            raise Failed("connected to %d replicas, %d are needed: %s" % (len(self.replicas), f + 1, "; ".join(faults)))

    def close(self):
        for replica in self.replicas:
            replica.conn.close()

    def drop(self, replica):
        self.replicas.remove(replica)
        replica.conn.close()

    def submit(self, payload, timeout=30.0, retry=2.0):
        """Returns (epoch, ordinal, index, result) of the update once f+1 replicas say the same."""
        seq, self.seq = self.seq, self.seq + 1
        votes, refusals, asked = {}, {}, 0
        end, again = time.monotonic() + timeout, 0.0
        while len(self.replicas) >= self.f + 1:
            now = time.monotonic()
            if now >= end:
                break
            if now >= again:  # ask the first replica, or, as that did not help, the next
                replica = self.replicas[asked % len(self.replicas)]
                asked, again = asked + 1, now + retry
                try:
                    replica.submit(seq, payload)
                except OSError:
                    self.drop(replica)
                    again = 0.0
                    continue
            for replica in self.readable(min(end, again) - now):
                try:
                    for kind, body in replica.frames():
                        if kind == REPLY:
                            self.vote(votes, replica, seq, body)
                        elif kind == REFUSED and struct.unpack("<QB", body)[0] == seq:
                            refusals.setdefault(body[8], set()).add(replica.ident)
                            if body[8] not in (DUPLICATE, RESULT_LOST):
                                again = 0.0
                        elif kind == REJECT:
                            raise Failed("rejected")
                except (OSError, ValueError, struct.error, Failed):
                    self.drop(replica)
                    again = 0.0
            answer = self.verdict(votes, refusals)
            if answer:
                return answer
        raise Failed("outcome unknown: update %d may have been executed; submitting it again with its number is safe" % seq)

    def readable(self, seconds):
        ready = [r for r in self.replicas if r.conn.pending()]
        if ready:
            return ready
        sockets, _, _ = select.select([r.conn for r in self.replicas], [], [], max(0.0, seconds))
        return [r for r in self.replicas if r.conn in sockets]

    def vote(self, votes, replica, seq, body):
        """Counts a reply to the update, the first of each replica."""
        epoch, ordinal, index, client, number, size = struct.unpack_from("<IQI32sQI", body)
        if client != self.ident or len(body) != 60 + size:
            raise ValueError("not a reply to this client")
        if number == seq and not any(replica.ident in voters for voters in votes.values()):
            votes.setdefault((epoch, ordinal, index, body[60:]), set()).add(replica.ident)

    def verdict(self, votes, refusals):
        for answer, voters in votes.items():
            if len(voters) >= self.f + 1:
                return answer
        for why in (EXPIRED, OVERSIZED, BAD_SIGNATURE, RESULT_LOST):
            if len(refusals.get(why, ())) >= self.f + 1:
                raise Failed(WHY[why])
        busy = refusals.get(OVERLOADED, set()) | refusals.get(CLOSING, set())
        if {r.ident for r in self.replicas} <= busy:
            raise Failed("every replica is overloaded")
        return None


def replica_argument(text):
    ident, address, key = text.split("=")
    return int(ident), address, public_key(key)


def public_key(text):
    pin = bytes.fromhex(text)
    if len(pin) != 32:
        raise ValueError("a public key has 32 bytes")
    return pin


def read_config(path):
    """Returns (cluster id, f, replicas) of a cluster.toml."""
    import tomllib  # Python 3.11
    with open(path, "rb") as file:
        config = tomllib.load(file)
    if config["auth"] != "replica":
        raise Failed("%s: auth is \"%s\"; this client is for \"replica\"" % (path, config["auth"]))
    replicas = [(r["id"], r["clients"], public_key(r["public_key"])) for r in config["replica"]]
    return bytes.fromhex(config["id"]), config["f"], replicas


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cert", required=True, help="PEM file with the client's certificate (Ed25519, self-signed)")
    parser.add_argument("--key", required=True, help="PEM file with its private key")
    parser.add_argument("--config", help="the cluster's cluster.toml; instead of the next three")
    parser.add_argument("--cluster", type=bytes.fromhex, help="the cluster's id, 64 hex digits")
    parser.add_argument("--f", type=int, help="how many replicas may lie")
    parser.add_argument("--replica", action="append", type=replica_argument, help="ID=HOST:PORT=PUBLIC KEY IN HEX")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds")
    parser.add_argument("--retry", type=float, default=2.0, help="seconds without an answer until another replica is asked")
    parser.add_argument("update", nargs="+")
    args = parser.parse_args()
    if not args.config and (args.cluster is None or args.f is None or not args.replica):
        parser.error("--config, or --cluster, --f and --replica, are needed")
    try:
        cluster, f, replicas = read_config(args.config) if args.config else (args.cluster, args.f, args.replica)
    except (OSError, KeyError, ValueError, ImportError, Failed) as fault:
        parser.error("--config: %s" % fault)
    if len(cluster) != 32:
        parser.error("--cluster: 64 hex digits are needed")
    try:
        client = Client(cluster, f, replicas, args.cert, args.key)
        for text in args.update:
            epoch, ordinal, index, result = client.submit(text.encode(), args.timeout, args.retry)
            print("%d.%d %s" % (ordinal, index, result.decode(errors="replace")), flush=True)
        client.close()
    except Failed as failure:
        print("prime_client: %s" % failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
