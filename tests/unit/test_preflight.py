"""What the containers refuse to start with: one sentence each, with its remedy."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from deploy import compose_secrets, preflight
from include.lake.connect_server import free_port
from include.settings import Settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Secrets as they are generated, where containers find them; the databases are not there."""
    compose_secrets.write(tmp_path / "secrets")
    monkeypatch.setenv("RETAIL_SECRETS_DIR", str(tmp_path / "secrets"))
    (tmp_path / "data" / "landing").mkdir(parents=True)
    for path in (tmp_path / "secrets").iterdir():
        path.chmod(0o644)
    return tmp_path / "secrets"


def said(folder: Path, **settings: str) -> list[str]:
    given = Settings(
        _env_file=None,
        _secrets_dir=str(folder),
        data_dir=folder.parent / "data",
        typesense_nodes="typesense:8108",
        **settings,  # type: ignore[arg-type]
    )
    return [
        *preflight.secret_problems(given),
        *preflight.password_problems(),
        *preflight.certificate_problems(),
        *preflight.folder_problems(given),
    ]


def test_generated_secrets_are_good(folder: Path) -> None:
    assert said(folder) == []


@pytest.mark.parametrize("name", sorted(preflight.SECRETS))
@pytest.mark.parametrize(("value", "sentence"), [("", "is missing or empty"), ("changeme", "is easy to guess")])
def test_a_missing_or_weak_secret_is_refused(
    folder: Path, name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(preflight.SECRETS[name], raising=False)
    url = name in preflight.URLS and value
    (folder / name).write_text(f"postgresql://retail:{value}@postgres/warehouse" if url else value)
    if name == "typesense_api_key" and not value:
        monkeypatch.setenv("TYPESENSE_API_KEY", " ")  # the settings refuse it themselves
        problems = list(preflight.secret_problems(Settings.model_construct(typesense_nodes="typesense:8108")))
    else:
        problems = said(folder)
    (problem,) = problems
    assert problem.startswith(f"Secret {name} {sentence}")
    assert "make compose-secrets" in problem
    assert "changeme" not in problem


@pytest.mark.parametrize(
    "value", ["1234567890123456", "AdminAdmin-4711-xyz", "changeme-changeme", "a1b2a1b2a1b2a1b2a1b2"]
)
def test_a_long_secret_may_be_easy_to_guess_too(value: str) -> None:
    assert preflight.is_weak(value)


def test_the_first_passwords_are_looked_at(folder: Path) -> None:
    (folder / "airflow_users").write_text('{"admin": "admin"}')
    (problem,) = said(folder)
    assert problem.startswith("The password of user admin in secret airflow_users is easy to guess")
    (folder / "airflow_users").write_text("admin:admin")
    (problem,) = said(folder)
    assert problem.startswith("Secret airflow_users cannot be read")


def test_the_password_of_a_server_elsewhere_is_not_judged(folder: Path) -> None:
    (folder / "database_url").write_text("postgresql://retail:short@db.example.com/warehouse?sslmode=verify-full")
    assert said(folder) == []


def test_a_secret_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "tls_key").unlink()
    (folder / "tls_key").mkdir()
    (problem,) = preflight.problems(Settings(_env_file=None))
    assert "cannot read the secret tls_key" in problem


def test_a_key_that_is_none_is_refused(folder: Path) -> None:
    (folder / "fernet_key").write_text("abcdefghijklmnopqrstuvwxyz")
    assert said(folder) == ["Secret fernet_key is no Fernet key: it has to be 32 bytes in URL-safe base64."]


def test_an_expired_certificate_is_refused(folder: Path) -> None:
    key = serialization.load_pem_private_key((folder / "tls_key").read_bytes(), None)
    old = x509.load_pem_x509_certificate((folder / "tls_certificate").read_bytes())
    expired = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=30))
        .not_valid_after(datetime.now(UTC) - timedelta(days=1))
        .sign(key, hashes.SHA256())  # type: ignore[arg-type]
    )
    (folder / "tls_certificate").write_bytes(expired.public_bytes(serialization.Encoding.PEM))
    (problem,) = said(folder)
    assert problem.startswith("The certificate expired on ")
    assert "RETAIL_TLS_CERTIFICATE" in problem


def test_a_key_of_another_certificate_is_refused(folder: Path) -> None:
    (folder / "tls_key").write_text(compose_secrets.self_signed("shop.example")[0])
    (problem,) = said(folder)
    assert "do not belong together" in problem


def test_a_certificate_that_is_none_is_refused(folder: Path) -> None:
    (folder / "tls_certificate").write_text("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n")
    (problem,) = said(folder)
    assert problem.startswith("The certificate or its key cannot be read")


def test_a_folder_that_cannot_be_written_is_refused(folder: Path) -> None:
    landing = folder.parent / "data" / "landing"
    landing.rmdir()
    landing.touch()
    (problem,) = said(folder)
    assert problem.startswith(f"User {os.getuid()} cannot write to {landing}")
    assert "chown" in problem


def test_a_database_that_is_away_is_named(folder: Path) -> None:
    (problem,) = preflight.database_problems(
        f"postgresql+psycopg2://retail:secret-word@127.0.0.1:{free_port()}/airflow"
    )
    assert problem.startswith("The server of Airflow's database, 127.0.0.1, does not let us in")
    assert "secret-word" not in problem
