"""The fleet's certificate authority: the steps of firmware_configs/README.md, with openssl."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import subprocess
import tempfile
from pathlib import Path

from ostiary.edge.files import sync_dir
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.fleet import CERTS, read_settings

AUTHORITY, BROKER, OPERATOR = "ca", "broker", "operator"
OPERATOR_NAME = "ostiary.operator"
"""The operator's CN in the broker's access list. It has a dot, so no device id equals it."""
DEVICES = "devices"
AUTHORITY_DAYS, DAYS = 3650, 825
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def create(folder: Path) -> list[Path]:
    """Make the certificates of the authority, the broker and the operator in a fleet's folder.

    Returns the files made; a certificate that exists is kept. Raises FleetError.
    """
    host = read_settings(folder).host
    certs = folder / CERTS
    certs.mkdir(mode=0o700, exist_ok=True)
    made = []
    if not (certs / "ca.crt").exists():
        made += _own(certs)
    for file, name, usage in (
        (BROKER, host, f"subjectAltName={_alternative(host)}\nextendedKeyUsage=serverAuth\n"),
        (OPERATOR, OPERATOR_NAME, "extendedKeyUsage=clientAuth\n"),
    ):
        if not (certs / f"{file}.crt").exists():
            made += _signed(certs, name, usage, certs / f"{file}.crt", certs / f"{file}.key")
    return made


def exists(folder: Path) -> bool:
    """Whether this fleet can sign certificates."""
    return (folder / CERTS / "ca.key").exists()


def client(folder: Path, name: str, cert: Path, key: Path) -> None:
    """Write a new key for a device, and a certificate for that key. Raises FleetError."""
    _signed(folder / CERTS, name, "extendedKeyUsage=clientAuth\n", cert, key)


def keep(folder: Path, name: str, cert: Path) -> Path:
    """Copy a device's certificate to the fleet's folder, so that it can be revoked later.

    The copy's name contains the serial number: an earlier certificate of the same device is still
    valid, and its copy must not be overwritten. Returns the copy's path. Raises FleetError.
    """
    copies = folder / CERTS / DEVICES
    copies.mkdir(mode=0o700, exist_ok=True)
    serial = _asked(cert, "-serial").partition("=")[2].lower()
    kept = copies / f"{name}-{serial}.crt"
    _place(cert, kept, 0o600)
    return kept


def has_ended(cert: Path) -> str:
    """The time at which a certificate expired, as openssl prints it; empty if it has not expired or
    is unreadable."""
    try:
        _asked(cert, "-checkend", "0")
    except FleetError:
        with contextlib.suppress(FleetError):
            return _asked(cert, "-enddate").partition("=")[2]
    return ""


def _asked(cert: Path, *options: str) -> str:
    return _openssl(Path(), "x509", "-in", str(cert.resolve()), "-noout", *options).strip()


def request(name: str, wanted: Path, key: Path) -> None:
    """Write a new key, and a request for another authority to sign. Raises FleetError."""
    with tempfile.TemporaryDirectory() as work:
        _request(Path(work), name)
        _place(Path(work, "new.csr"), wanted, 0o644)
        _place(Path(work, "new.key"), key, 0o600)


def _own(certs: Path) -> list[Path]:
    with tempfile.TemporaryDirectory() as work:
        _openssl(
            Path(work), "req", "-x509", *CURVE, "-days", str(AUTHORITY_DAYS),
            "-subj", "/CN=ostiary broker authority", "-keyout", "ca.key", "-out", "ca.crt",
        )  # fmt: skip
        # Place the key first: if this is interrupted, no certificate exists without its key.
        _place(Path(work, "ca.key"), certs / "ca.key", 0o600)
        _place(Path(work, "ca.crt"), certs / "ca.crt", 0o644)
    return [certs / "ca.crt", certs / "ca.key"]


def _signed(certs: Path, name: str, usage: str, cert: Path, key: Path) -> list[Path]:
    if not exists(certs.parent):
        raise FleetError(f"there is no ca.key in {certs}", "put it back from your backup")
    with tempfile.TemporaryDirectory() as work:
        _request(Path(work), name)
        Path(work, "new.ext").write_text(usage, "ascii")
        # Serial numbers are random, so that a copied folder or a restored backup uses none twice.
        _openssl(
            Path(work), "x509", "-req", "-in", "new.csr", "-CA", str((certs / "ca.crt").resolve()),
            "-CAkey", str((certs / "ca.key").resolve()), "-days", str(DAYS),
            "-set_serial", f"0x{os.urandom(15).hex()}", "-extfile", "new.ext", "-out", "new.crt",
        )  # fmt: skip
        _place(Path(work, "new.key"), key, 0o600)
        _place(Path(work, "new.crt"), cert, 0o644)
    return [cert, key]


def _request(work: Path, name: str) -> None:
    # openssl takes these characters for separators in a subject.
    escaped = "".join(f"\\{c}" if c in "/+\\=" else c for c in name)
    _openssl(
        work, "req", "-new", *CURVE, "-subj", f"/CN={escaped}", "-keyout", "new.key",
        "-out", "new.csr",
    )  # fmt: skip


def _alternative(host: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        return f"DNS:{host}"


def _place(made: Path, target: Path, mode: int) -> None:
    target.unlink(missing_ok=True)
    # The mode is set on creation: until a later chmod, others could read the key.
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(made.read_bytes())
        file.flush()
        os.fsync(descriptor)
    sync_dir(target.parent)


def _openssl(work: Path, *command: str) -> str:
    try:
        done = subprocess.run(["openssl", *command], cwd=work, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise FleetError("openssl is not installed", "apt install openssl") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise FleetError(
            f"openssl {command[0]} failed: {said}", "check that ca.key belongs to ca.crt"
        )
    return done.stdout
