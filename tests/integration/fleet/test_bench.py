"""The benchmark of the roster runs, small, and says in its JSON what it promises."""

import json
from pathlib import Path

import pytest

from bench.roster import __main__
from bench.roster.device import Order, reach
from bench.roster.operator import Counted, Operator, name_of, publish
from bench.roster.proxy import Proxy
from bench.roster.table import Figure, shown

FIELDS = {"part", "what", "value", "unit", "target", "verdict"}


def figures(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    __main__.main([*arguments, "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert all(set(row) == FIELDS for row in rows)
    return {f"{row['part']}: {row['what']}": row for row in rows}


@pytest.mark.long
def test_a_new_device_and_a_reconnect(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(capsys, "--part", "sync", "reconnect", "--subjects", "200")
    assert found["sync, 200: new device, complete and granting"]["target"] == 5
    assert found["sync, 200: each probe granted, a stranger not"]["verdict"] == "met"
    assert found["sync, 200: started again: complete and granting"]["verdict"] == "met"
    assert found["sync, 200: nothing was refused"]["verdict"] == "met"
    assert found["sync, 200: device's memory, highest"]["verdict"] == "met"
    quiet = found["reconnect, 200: wire cut, nothing changed"]
    changed = found["reconnect, 200: started again, 10 changed at once"]
    # A head goes over the wire even where nothing changed, and the records where ten did.
    assert 4 < float(str(quiet["value"])) < 20
    assert float(str(quiet["value"])) + 7 < float(str(changed["value"])) < 200
    assert (quiet["target"], changed["target"]) == (20, 200)


def test_a_fleet_follows_a_revocation(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(
        capsys, "--part", "fleet", "--devices", "12", "--fleet-subjects", "20", "--changes", "2"
    )
    assert {key.split(":")[0] for key in found} == {"fleet, 10 devices", "fleet, 12 devices"}
    assert found["fleet, 12 devices: revoked everywhere, slowest round"]["target"] == 5
    assert found["fleet, 12 devices: nothing was refused"]["verdict"] == "met"
    # A head of 256 sums and a tombstone; the acknowledgement.
    assert 4500 < float(str(found["fleet, 12 devices: bytes to a device a change"]["value"])) < 9000
    assert 100 < float(str(found["fleet, 12 devices: bytes from a device a change"]["value"])) < 900


def test_what_a_broker_keeps(capsys: pytest.CaptureFixture[str]) -> None:
    found = figures(capsys, "--part", "retained", "--subjects", "50")
    sizes = [row["value"] for key, row in found.items() if key.endswith("a record with its topic")]
    assert len(sizes) == 6
    one, two = float(str(sizes[0])), float(str(sizes[1]))
    assert one > 128 * 4
    assert two - one > 128 * 4


def test_a_revoked_subject_is_not_granted(tmp_path: Path) -> None:
    operator = Operator()
    with Counted(tmp_path / "broker") as broker, Proxy(broker.port) as proxy:
        publish(broker.port, operator.enroll(range(5)))
        publish(broker.port, operator.revoke(3))

        def granting(number: int) -> bool:
            order = Order(
                folder=str(tmp_path),
                name=name_of(number),
                port=proxy.port,
                sequence=operator.sequence,
                digest=operator.digest,
                probes=[number],
            )
            return reach(order).granting

        assert granting(2)
        assert not granting(3)
        assert proxy.down > 5000


def test_a_figure_above_its_target_is_missed() -> None:
    rows = [
        Figure("a", "b", 5.1, "s", 5.0),
        Figure("a", "c", 4.9, "s", 5.0),
        Figure("a", "d", 1, "s"),
    ]
    rows += [Figure("a", "e", 0, "", good=False), Figure("a", "f", 1, "", good=True)]
    assert [row.verdict for row in rows] == ["missed", "met", "", "missed", "met"]
    assert shown(rows).row_count == 5
