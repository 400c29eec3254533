"""Every command line of the documents is taken by the parser of the program that it names."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from ostiary.edge.cli.console import new_app
from tests.support.documented import Line, commands, documents, problem, programs
from tests.support.places import ROOT

OLD_PEERS = "python -m bench.peers --bundle bundle --yunet FILE"


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_commands_that_run_as_written(path: Path) -> None:
    wrong = {line.text: why for line in commands(path.read_text()) if (why := problem(line))}
    assert not wrong, "\n\n".join(f"{text}\n{why}" for text, why in wrong.items())


def test_the_documents_show_every_program() -> None:
    lines = [line for path in documents() for line in commands(path.read_text())]
    named = set().union(*(programs(line) for line in lines if not line.mention))
    assert named >= {"ostiary", "ostiary-export", "ostiary-fleet", "ostiary-train", "torchrun"}
    benchmarks = ("peers", "reach", "daemon", "roster", "soak", "learning")
    assert named >= {f"-m bench.{name}" for name in benchmarks}
    assert named >= {"scripts/demo", "scripts/test", "scripts/install-device", "-m pytest"}
    assert len(lines) > 300


@pytest.mark.parametrize(
    "text",
    [
        "ostiary enrol --config door.toml alice alice.jpg",
        "ostiary enroll --config door.toml alice --quick alice.jpg",
        "ostiary enroll --config door.toml alice.jpg",
        "ostiary check-config",
        "ostiary run --config door.toml now",
        "ostiary bench --bundle bundle --rounds many",
        "ostiary bundle unpack models.zip DIR",
        "ostiary",
        "sudo -u ostiary /opt/ostiary/venv/bin/ostiary self-test --config door.toml",
        "ostiary-export build my-encoder.toml --out bundle --colour red",
        "ostiary-fleet provision north-door --board jetson-orin-nano --groups",
        "mv operator.key old.key; ostiary-fleet publish --takeover",
        "PIP_NO_INDEX=1 sudo -E scripts/install-device --target DIR",
        "scripts/install-device --profile --no-start",
        "scripts/demo --webcam 0",
        "scripts/tests",
        "pytest tests/edge/test_nothing.py",
        "python -m pytest tests/house/test_house.py::test_nothing",
        "python -m bench.nothing",
        "python -m bench.peers --yunet FILE",
        "python -m bench.peers --bundle bundle --rounds 3",
        "python -m bench.roster --part everything",
        "python -m ostiary.edge run",
        "torchrun --nproc-per-node 2 -m ostiary.training fit --faces faces",
        "torchrun --processes 2 -m ostiary.training fit settings.toml",
        "pip install '.[cpu,exports]'",
        "python -c 'from ostiary.fleet.keys import make_operator_key'",
    ],
)
def test_a_wrong_line_is_found(text: str) -> None:
    assert problem(Line(text))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("ostiary-fleet", True),
        ("ostiary enroll", True),
        ("ostiary-export engine --needed", True),
        ("ostiary enrol", False),
        ("ostiary-export engine --wanted", False),
        ("python -m bench.peers", True),
        ("python -m bench.peers --rounds 20", True),
        ("python -m bench.peers --turns 20", False),
    ],
)
def test_a_mention_may_leave_out_what_is_required(text: str, right: bool) -> None:
    assert (problem(Line(text, mention=True)) == "") is right


def test_lines_are_found_in_every_place() -> None:
    text = """Prose with `ostiary run` and
```sh
ostiary one # a comment
first \\
    second
```
```
$ ostiary two
what it says
```
| see | `ostiary three`; `ostiary four` | when `ostiary five` runs |
"""
    found = list(commands(text))
    assert [line.text for line in found if not line.mention and "#" not in line.text] == [
        "first  second",
        "ostiary two",
        "ostiary three",
        "ostiary four",
    ]
    assert Line("ostiary run", mention=True) in found
    assert Line("ostiary five", mention=True) in found


def test_the_old_benchmark_put_back_makes_its_line_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs got --version, and the benchmark, built alike, then wanted a sub-command."""
    assert problem(Line(OLD_PEERS)) == ""
    old = ModuleType("bench.peers")
    old.app = app = new_app("Time a whole frame beside others.")  # type: ignore[attr-defined]

    @app.command()
    def peers(bundle: Path, yunet: Path | None = None) -> None: ...

    monkeypatch.setitem(sys.modules, "bench.peers", old)
    assert "--bundle" in problem(Line(OLD_PEERS))
