"""JSON files of a run: what is read, what is refused, and how a seal shows damage."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.result import digest
from harness.storage.atomic import JSON_BYTES, JSON_DEPTH, parse_json, read_json
from harness.storage.sealed import SEAL, read_sealed, write_json, write_sealed

settings.register_profile("samebench", derandomize=True, deadline=None, max_examples=80)
settings.load_profile("samebench")

DATA = {"name": "é\u202e", "numbers": [1, 2.5, 1e-9, -0.0], "inner": {"none": None, "yes": True}, "text": '"}\n'}

scalars = st.none() | st.booleans() | st.integers(1 - 2**63, 2**63 - 1) | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


def old_seal(file: Path, data: dict) -> None:
    """Write a file as the first versions of samebench did."""
    write_json(file, data | {SEAL: digest(data)})


SEALS = [write_sealed, old_seal]


@pytest.mark.parametrize("write", SEALS)
def test_a_sealed_file_is_read_as_it_was_written(tmp_path, write):
    for number, data in enumerate(({}, {"a": {}}, DATA)):
        write(tmp_path / f"{number}.json", data)
        assert read_sealed(tmp_path / f"{number}.json") == data
        assert json.loads((tmp_path / f"{number}.json").read_bytes()).keys() == {*data, SEAL}


@pytest.mark.parametrize("write", SEALS)
def test_every_changed_byte_and_every_cut_is_found(tmp_path, write):
    """A byte of the white space of an old file is no part of what it says."""
    write(file := tmp_path / "x.json", DATA)
    good = file.read_bytes()
    for place in range(len(good)):
        for text in (good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :], good[:place]):
            file.write_bytes(text)
            if write is old_seal and _same(text, good):
                continue
            with pytest.raises(ValueError, match=r"x\.json"):
                read_sealed(file)


def _same(text: bytes, good: bytes) -> bool:
    try:
        return json.loads(text) == json.loads(good)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + b"\n",
        lambda text: text.rstrip(),
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: json.dumps(json.loads(text)).encode(),
        lambda text: text + text,
        lambda text: b"[" + text + b"]",
        lambda text: text.replace(b"before this line", b"before that line"),
        lambda text: b"{" + text[text.index(b'\n "sha256"') :],
        lambda text: text[: text.index(b'\n "sha256"')].rstrip(b",") + b"\n}\n",
    ],
)
def test_a_file_that_another_program_has_written_anew_is_refused(tmp_path, change):
    write_sealed(file := tmp_path / "x.json", DATA)
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ValueError, match=r"x\.json"):
        read_sealed(file)


@pytest.mark.parametrize("seal", [None, 3, [], {}, "", "0" * 64, "bytes before this line: ", "\ud800"])
def test_a_seal_of_another_form_is_refused(tmp_path, seal):
    write_json(tmp_path / "x.json", DATA | {SEAL: seal})
    with pytest.raises(ValueError, match="its hash does not match its contents"):
        read_sealed(tmp_path / "x.json")


def test_a_key_of_the_data_cannot_take_the_place_of_the_seal(tmp_path):
    write_sealed(tmp_path / "x.json", DATA | {SEAL: "mine"})
    assert read_sealed(tmp_path / "x.json") == DATA


def test_a_line_like_a_seal_in_an_inner_object_seals_nothing(tmp_path):
    write_sealed(tmp_path / "x.json", DATA)
    text = (tmp_path / "x.json").read_bytes()
    (tmp_path / "x.json").write_bytes(b'{"outer": ' + text[:-1] + b"}\n")
    with pytest.raises(ValueError, match="its hash does not match"):
        read_sealed(tmp_path / "x.json")


@given(values)
def test_json_is_read_as_the_standard_library_reads_it(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        try:
            data = text.encode("utf-8", "surrogatepass")
            expected = json.loads(data)
        except ValueError:
            continue
        if "Infinity" not in text:
            assert repr(parse_json(data, "x")) == repr(expected)


@given(st.binary(max_size=40) | st.text(alphabet='[]{}",:0123456789.eE+-nul \\ud8', max_size=30).map(str.encode))
def test_whatever_is_read_the_standard_library_reads_too(text):
    with suppress(ValueError):
        found = parse_json(text, "x")
        assert repr(found) == repr(json.loads(text.decode("utf-8", "surrogatepass")))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"[" * 200_000, "x.json is nested too deeply"),
        (b'{"a":' * 200_000, "x.json is nested too deeply"),
        (b"[" * (JSON_DEPTH + 1) + b"]" * (JSON_DEPTH + 1), "x.json is nested too deeply: at most 100 levels"),
        (b'{"a": NaN}', "x.json is incomplete or not JSON: NaN is not JSON"),
        (b'{"a": -Infinity}', "x.json is incomplete or not JSON: -Infinity is not JSON"),
        (b'{"a": [1, 9223372036854775808]}', "x.json: a[1] is too large: whole numbers are smaller than 2**63"),
        (b'{"a": -9223372036854775808}', "x.json: a is too large"),
        (b"1" * 400, "x.json: its number is too large"),
        (b'{"a": [1e400]}', "x.json: a[0] is too large for a number"),
        (b"1" * 10_000, "x.json is incomplete or not JSON"),
        (b"", "x.json is incomplete or not JSON"),
        (b'{"a": 1', "x.json is incomplete or not JSON"),
        (b"\xff\xfe{\x00}\x00", "x.json is incomplete or not JSON"),
        (b'"\xff"', "x.json is incomplete or not JSON"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_file_that_is_refused_says_why_in_one_line(tmp_path, text, problem):
    (tmp_path / "x.json").write_bytes(text)
    with pytest.raises(ValueError) as error:
        read_json(tmp_path / "x.json")
    assert str(error.value).startswith(problem) and "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"9223372036854775807", 2**63 - 1),
        (b"[" * JSON_DEPTH + b"]" * JSON_DEPTH, None),
        (b'"\\ud800"', "\ud800"),
        (b'"\xed\xa0\x80"', "\ud800"),
    ],
    ids=["largest number", "deepest", "half a pair", "half a pair in bytes"],
)
def test_unusual_files_are_read_as_before(tmp_path, text, value):
    (tmp_path / "x.json").write_bytes(text)
    found = read_json(tmp_path / "x.json")
    assert value is None or found == value


@pytest.mark.parametrize("read", [read_json, read_sealed])
def test_only_regular_files_of_a_limited_size_are_read(tmp_path, read, nothing_hangs):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "giant").touch()
    os.truncate(tmp_path / "giant", JSON_BYTES + 1)
    for name, problem in (("pipe", "not a regular file"), ("folder", "regular file"), ("giant", "more than the limit")):
        with pytest.raises(ValueError, match=problem):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing")
