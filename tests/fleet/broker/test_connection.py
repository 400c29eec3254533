"""Errors that end a connection name their cause."""

from __future__ import annotations

import gc
import subprocess
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from ostiary.edge.sections import MqttSection
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.broker.session import Broker
from ostiary.fleet.site.authority import has_ended
from tests.support.site_broker import HOST, Authority, SiteBroker


def test_a_topic_that_is_no_text_is_said_and_waits_for_nobody() -> None:
    broker = Broker(MqttSection(host=HOST, port=1))
    message = paho.MQTTMessage(topic=b"ostiary/1/hq/\xff\xfe")
    broker._on_message(None, None, message)
    for ask in (lambda: broker.event(0.0), broker.answer):
        with pytest.raises(BrokerError, match="a topic that is not UTF-8"):
            ask()


def run_out(authority: Authority, folder: Path) -> tuple[Path, Path]:
    """Sign the operator's certificate again, already expired."""
    cert, key = authority.client("ostiary.operator", "run-out")
    request, old = folder / "old.csr", folder / "old.crt"
    ca = authority.folder
    for command in (
        ["req", "-new", "-key", key, "-subj", "/CN=ostiary.operator", "-out", request],
        ["x509", "-req", "-in", request, "-CA", ca / "ca.crt", "-CAkey", ca / "ca.key",
         "-set_serial", "7", "-days", "-1", "-out", old],
    ):  # fmt: skip
        subprocess.run(["openssl", *map(str, command)], check=True, capture_output=True)
    assert not has_ended(cert)
    return old, key


# paho leaves a socket open whose handshake failed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_certificate_of_ours_that_ran_out_is_said(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certs")
    cert, key = run_out(authority, tmp_path)
    assert has_ended(cert).endswith("GMT")
    assert not has_ended(tmp_path / "none.crt")
    (tmp_path / "site").mkdir()
    with SiteBroker(tmp_path / "site", authority) as site:
        settings = MqttSection(
            host=HOST, port=site.port, ca=authority.folder / "ca.crt", cert=cert, key=key
        )
        with pytest.raises(BrokerError, match=r"operator's certificate for .* expired on .* GMT"):
            Broker(settings).__enter__()
    gc.collect()
