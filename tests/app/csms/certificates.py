"""Certificates for tests, made on the spot by the openssl command."""

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(OPENSSL is None, reason="the openssl command makes the certificates")


_NUMBERS = [1]  # of the next revocation list


@dataclass(frozen=True)
class Pair:
    certificate: Path
    key: Path


class Authority:
    """Signs certificates in `folder`."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self.name = name
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        _openssl("req", "-x509", *_new_key(self._key), "-subj", f"/CN={name}", "-days", "2", "-out", self.certificate)

    def sign(self, common_name: str, alternative: str = "DNS:unused.invalid") -> Pair:
        stem = self._folder / f"{self.name}-{common_name}"
        pair = Pair(stem.with_suffix(".pem"), stem.with_suffix(".key"))
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        extensions.write_text(f"basicConstraints=CA:FALSE\nsubjectAltName={alternative}\n")
        _openssl("req", *_new_key(pair.key), "-subj", f"/CN={common_name}", "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial"),
            *("-days", "2", "-extfile", extensions, "-out", pair.certificate),
        )
        return pair

    def revocation_list(self, *revoked: Pair, name: str = "revoked", days: int = 1) -> Path:
        """Of this authority, naming these certificates."""
        index, settings = self._folder / f"{name}.index", self._folder / f"{name}.cnf"
        listed = self._folder / f"{name}.crl"
        index.write_text("")
        (self._folder / f"{name}.number").write_text(f"{_NUMBERS[0]:02x}\n")
        _NUMBERS[0] += 1
        settings.write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={index}\ncrlnumber={self._folder / name}.number\n"
            f"default_md=sha256\ndefault_crl_days={days}\n"
        )
        signed_by = ("-config", settings, "-keyfile", self._key, "-cert", self.certificate)
        for pair in revoked:
            _openssl("ca", *signed_by, "-revoke", pair.certificate)
        _openssl("ca", *signed_by, "-gencrl", "-out", listed)
        return listed

    def client_context(self, shown: Pair | None = None) -> ssl.SSLContext:
        """What a station trusts, and what it shows."""
        context = ssl.create_default_context(cafile=self.certificate)
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        return context


def _new_key(key: Path) -> tuple[str | Path, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([str(OPENSSL), *arguments], check=True, capture_output=True)
