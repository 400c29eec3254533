"""The report on a weak encoder: amber, with what it misses and what a door will say of it."""

from __future__ import annotations

import re

import msgspec

from ostiary.export.report.bundle_report import render
from tests.support.export import measured
from tests.support.export.measured import gate, manifest


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("</style>")[1]))


def test_a_weak_encoder_is_neither_passed_nor_failed() -> None:
    det = measured.curves()
    weak = ["recognises 41 % of people at FMR 1e-3, <90> % are needed"]
    amber = render(manifest(), gate(passed=False, weak=weak), det, None, None, [])
    assert '<p class="word">FAITHFUL, BUT RECOGNISES 41 % OF PEOPLE</p>' in amber
    assert 'class="verdict weak"' in amber
    assert f"The encoder {weak[0]}".replace("<90>", "&lt;90&gt;") in amber
    assert "Proven on onnxruntime, openvino" in words(amber)
    both = gate(passed=False, weak=weak, failures=["it loses .3"])
    red = render(manifest(), both, det, None, None, [])
    assert ('<p class="word">FAILED</p>' in red, 'class="verdict failed"' in red) == (True, True)
    assert "recognises 41 % of people" in red
    alone = render(manifest(False), None, det, None, None, [], weak_float=weak)
    assert '<p class="word">RECOGNISES 41 % OF PEOPLE</p>' in alone
    stray = render(manifest(), None, det, None, None, [], weak_float=weak)
    assert '<p class="word">NOT MEASURED</p>' in stray


def test_what_a_door_will_say_is_on_the_page() -> None:
    warned = msgspec.structs.replace(manifest(), warnings=["it is <weak>"])
    page = render(warned, gate(), None, None, None, [])
    assert '<p class="alarm">A door says at every start: it is &lt;weak&gt;</p>' in page
    assert "at every start" not in render(manifest(), gate(), None, None, None, [])
