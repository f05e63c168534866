"""Fixtures of the sinks' tests: rows of the report's tests, and clusters of the end-to-end tests."""

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "report"), str(HERE.parent / "e2e")]

HOSTS = ("api.telegram.org", "oapi.dingtalk.com", "qyapi.weixin.qq.com", "slack.com")  # that services have for ever


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """Return an authority, and a certificate and its key for the hosts that services have for ever."""
    from stand_ins import make_certificates

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return make_certificates(tmp_path_factory.mktemp("certificates"), HOSTS)


@pytest.fixture
def run_stand_in():
    """Return a function that runs a stand-in until the end of the test, when pending requests are released."""
    kept = []

    def keep(stand_in):
        kept.append(stand_in)
        return stand_in

    yield keep
    for stand_in in reversed(kept):
        stand_in.close()


@pytest.fixture
def telegram(certificates, run_stand_in, monkeypatch):
    """Return a function that starts a stand-in for Telegram, and a SOCKS proxy that reaches only this."""
    from stand_ins import Service, socks_proxy

    def start(kind=socks_proxy, **answers):
        authority, certificate = certificates
        service = run_stand_in(Service(certificate, **answers))
        proxy = run_stand_in(kind({host + ":443": service.port for host in HOSTS}))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority)
        return service, proxy

    return start
