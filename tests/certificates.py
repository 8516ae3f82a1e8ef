"""Certificates of tests: throw-away authorities, and servers of 127.0.0.1 that they vouch for."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Pair = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def certificate(name: str, signed_by: Pair | None = None) -> Pair:
    """A certificate of 127.0.0.1, signed by another one, or an authority that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer, issuers_key = (
        (subject, key) if signed_by is None else (signed_by[0].subject, signed_by[1])
    )
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signed_by is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(issuers_key, hashes.SHA256())
    )
    return made, key


def written(folder: Path, name: str, pair: Pair) -> dict[str, str]:
    """The files of a certificate and its key."""
    paths = {"certificate_file": folder / f"{name}.pem", "key_file": folder / f"{name}.key"}
    paths["certificate_file"].write_bytes(pair[0].public_bytes(serialization.Encoding.PEM))
    paths["key_file"].write_bytes(
        pair[1].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return {what: str(path) for what, path in paths.items()}


def server_context(folder: Path, name: str, authority: Pair) -> ssl.SSLContext:
    """A server's side of TLS with a certificate of an authority."""
    files = written(folder, name, certificate(name, authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certificate_file"], files["key_file"])
    return context
