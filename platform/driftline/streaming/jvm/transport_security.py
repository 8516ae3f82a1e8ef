"""TLS for the ports of a local Flink run, with a key that is valid for one run.

Flink's mini cluster always opens its REST, RPC and blob ports, without a password. Bound to
loopback, and with a certificate required of both sides, no other user of the machine can use them.
"""

import secrets
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from driftline.private_files import write_private

LOOPBACK = "127.0.0.1"
_VALID = timedelta(days=3650)  # longer than any run
_CIPHERS = "TLS_AES_256_GCM_SHA384,TLS_AES_128_GCM_SHA256"


def secured(folder: Path) -> dict[str, str]:
    """Flink's settings for a mini cluster that only this user can access.

    Writes `flink.p12` and, for other clients such as curl, `flink.pem` into the folder.

    Parameters:
        folder: a private folder that exists until the run ends.
    """
    key, certificate = _new_key()
    password = secrets.token_urlsafe(24)
    store = folder / "flink.p12"
    encrypted = BestAvailableEncryption(password.encode())
    write_private(
        store, pkcs12.serialize_key_and_certificates(b"flink", key, certificate, None, encrypted)
    )
    write_private(
        folder / "flink.pem",
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM),
    )
    return {
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.bind-host": LOOPBACK,
        "taskmanager.host": LOOPBACK,
        "taskmanager.bind-host": LOOPBACK,
        "security.ssl.protocol": "TLSv1.3",
        "security.ssl.algorithms": _CIPHERS,
        "security.ssl.rest.enabled": "true",
        "security.ssl.rest.authentication-enabled": "true",
        "security.ssl.internal.enabled": "true",
        **{
            f"security.ssl.{part}.{name}": value
            for part in ("rest", "internal")
            for name, value in {
                "keystore": str(store),
                "keystore-type": "PKCS12",
                "keystore-password": password,
                "key-password": password,
                "truststore": str(store),  # both sides use this certificate
                "truststore-type": "PKCS12",
                "truststore-password": password,
            }.items()
        },
    }


def _new_key() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "driftline job")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName(
        [x509.IPAddress(ip_address(LOOPBACK)), x509.DNSName("localhost")]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate
