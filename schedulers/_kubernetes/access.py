"""Who may talk to the API server: one certificate, one token a user, the files that carry them.

The API server's certificate is its own authority and is made for a name, not an address; clients
check that name. Every client has a token. So all that is secret is drawn before there is a
topology, and a plan needs no further keys.
"""

import json
from collections.abc import Callable

from schedulers.base import File, Secrets, Topology

KEY = "apiserver.key"
CERTIFICATE = "apiserver.crt"
TOKEN = "token"  # noqa: S105 - the secret's name
FOLDER = "/etc/kubernetes"
KEY_FILE = f"{FOLDER}/apiserver.key"
CERTIFICATE_FILE = f"{FOLDER}/apiserver.crt"
TOKENS_FILE = f"{FOLDER}/tokens.csv"
KUBECONFIG = f"{FOLDER}/kubeconfig"
CURL_CONFIG = f"{FOLDER}/curl"
SERVER_NAME = "kubernetes"
PORT = 6443
_ADMIN = "admin"
_VALID = (2020, 2070)
"""The years between which certificates are valid, whatever a node's clock says."""
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the curve P-256 (FIPS 186-4, D.1.2.3)."""


def secrets_of(draw: Callable[[int], bytes]) -> Secrets:
    """Return the API server's key with its certificate, and what tokens are made from.

    All are made of what `draw` returns, so many bytes at a call, and of nothing else.
    """
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    # Any number from 1 up to the curve's order is a key; more bits than that leave no bias.
    key = ec.derive_private_key(int.from_bytes(draw(48)) % (_ORDER - 1) + 1, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SERVER_NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(draw(16)) + 1)
        .not_valid_before(datetime(_VALID[0], 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(_VALID[1], 1, 1, tzinfo=UTC))
        # Go's TLS, which all of Kubernetes uses, ignores the common name.
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    return Secrets({KEY: private, CERTIFICATE: public, TOKEN: draw(32).hex().encode()})


def head_files(topology: Topology, secrets: Secrets) -> tuple[File, ...]:
    """Return what the head needs to serve, and to ask itself as administrator."""
    users = [
        # The API server allows everything to this group.
        (_ADMIN, "system:masters"),
        *((_node_user(node.name), "system:nodes") for node in topology.compute),
    ]
    tokens = "".join(f"{_token(secrets, user)},{user},{user},{group}\n" for user, group in users)
    curl = (
        "silent\nshow-error\nfail-with-body\n"
        f'cacert = "{CERTIFICATE_FILE}"\n'
        # No resolver knows the name that the certificate is made for.
        f'resolve = "{SERVER_NAME}:{PORT}:{topology.head.address}"\n'
        f'header = "Authorization: Bearer {_token(secrets, _ADMIN)}"\n'
    )
    return (
        _file(KEY_FILE, secrets[KEY]),
        _file(CERTIFICATE_FILE, secrets[CERTIFICATE]),
        _file(TOKENS_FILE, tokens.encode()),
        _file(KUBECONFIG, _kubeconfig(topology, secrets, _ADMIN)),
        _file(CURL_CONFIG, curl.encode()),
    )


def node_files(name: str, topology: Topology, secrets: Secrets) -> tuple[File, ...]:
    """Return what a compute node needs to speak for itself."""
    return (
        _file(CERTIFICATE_FILE, secrets[CERTIFICATE]),
        _file(KUBECONFIG, _kubeconfig(topology, secrets, _node_user(name))),
    )


def url(path: str) -> str:
    """Return the URL of an API path; CURL_CONFIG has the server's address."""
    return f"https://{SERVER_NAME}:{PORT}{path}"


def curl(*words: str) -> tuple[str, ...]:
    """Return the command of a request as administrator, from the head."""
    return ("curl", "--config", CURL_CONFIG, *words)


def _node_user(name: str) -> str:
    # The name by which the API server recognizes a node as itself.
    return f"system:node:{name}"


def _token(secrets: Secrets, user: str) -> str:
    import hashlib
    import hmac

    return hmac.new(secrets[TOKEN], user.encode(), hashlib.sha256).hexdigest()


def _kubeconfig(topology: Topology, secrets: Secrets, user: str) -> bytes:
    cluster = {
        "server": f"https://{topology.head.address}:{PORT}",
        "tls-server-name": SERVER_NAME,
        "certificate-authority": CERTIFICATE_FILE,
    }
    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "campaign", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": _token(secrets, user)}}],
        "contexts": [{"name": "campaign", "context": {"cluster": "campaign", "user": user}}],
        "current-context": "campaign",
    }
    return json.dumps(value).encode()


def _file(path: str, content: bytes) -> File:
    return File(path, content, mode=0o600, secret=True)
