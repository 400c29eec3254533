"""Key files: who may read them, what counts as a key, and how new ones are created."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ostiary.edge import keyfile
from ostiary.edge.errors import ConfigError
from ostiary.edge.keyfile import PUBLIC, SECRET, create, read_key

KEY = bytes(range(32))
HEX = KEY.hex()
LOST, EXPOSED = "put it back", ", or make another"


@pytest.fixture(autouse=True)
def no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the credentials of a service in which these tests may run."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=["umask-000", "umask-022", "umask-077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def key_file(path: Path, mode: int = SECRET, text: str = f"{HEX}\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "ascii")
    path.chmod(mode)
    return path


def read(path: Path) -> bytes:
    return read_key(path, ConfigError, LOST, EXPOSED)


def refusal(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        read(path)
    assert HEX not in str(refused.value)
    return refused.value


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "  \n\n"])
def test_a_key_that_only_its_owner_may_read_is_read(tmp_path: Path, mode: int, end: str) -> None:
    assert read(key_file(tmp_path / "key", mode, HEX + end)) == KEY


@pytest.mark.parametrize("bit", [0o040, 0o020, 0o010, 0o004, 0o002, 0o001])
def test_a_key_that_others_may_use_is_refused_and_how_to_close_it(tmp_path: Path, bit: int) -> None:
    path = key_file(tmp_path / "key", SECRET | bit)
    error = refusal(path)
    assert error.message == (
        f"users other than its owner may read the secret key {path} (mode {SECRET | bit:04o})"
    )
    assert error.hint == f"chmod 600 {path}, or make another"
    path.chmod(0o600)
    assert read(path) == KEY


def test_the_hint_for_somebody_elses_file_changes_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = key_file(tmp_path / "key", 0o640)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    hint = f"as root: chown {owner + 1} {path} && chmod 600 {path}, or make another"
    assert refusal(path).hint == hint


def test_root_is_told_to_change_only_the_mode_of_somebody_elses_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, fstat = key_file(tmp_path / "key", 0o640), os.fstat

    def of_another(descriptor: int) -> os.stat_result:
        fields = list(fstat(descriptor))
        fields[stat.ST_UID] = 12345
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", of_another)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert refusal(path).hint == f"chmod 600 {path}, or make another"


@pytest.mark.parametrize(
    "text",
    ["", "\n", HEX[:-1], HEX + "0", HEX.upper(), f" {HEX}", f"{HEX} x", "g" * 64, f"{HEX}\n{HEX}"],
)
def test_a_text_that_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = key_file(tmp_path / "key", text=text)
    assert refusal(path).message == f"{path} holds no secret key"


def test_bytes_that_are_not_text_are_no_key(tmp_path: Path) -> None:
    path = key_file(tmp_path / "key")
    path.write_bytes(bytes(range(128, 192)))
    assert refusal(path).message == f"{path} holds no secret key"


def test_a_key_that_cannot_be_read_is_refused_with_the_callers_hint(tmp_path: Path) -> None:
    error = refusal(tmp_path / "key")
    assert error.message == f"cannot read the key {tmp_path / 'key'}: No such file or directory"
    assert error.hint == LOST
    assert refusal(tmp_path).message.endswith("Is a directory")


# systemd 254 and newer give a credential an access list, whose mask stat shows as mode 0440.
@pytest.fixture(params=["by-environment", "by-place", "by-link"])
def credentials(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The folder of a service's credentials, found in each of the two ways."""
    folder = tmp_path / "run" / "ostiary.service"
    folder.mkdir(parents=True)
    named = tmp_path / "link"
    named.symlink_to(folder)
    if request.param == "by-place":
        monkeypatch.setattr(keyfile, "CREDENTIALS", folder.parent)
    else:
        by_link = request.param == "by-link"
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(named if by_link else folder))
    return folder


@pytest.mark.parametrize("mode", [0o440, 0o400, 0o600])
def test_a_credential_of_systemd_is_read(credentials: Path, mode: int) -> None:
    assert read(key_file(credentials / "site-key", mode)) == KEY


@pytest.mark.parametrize("bit", [0o020, 0o010, 0o004, 0o002, 0o001])
def test_a_credential_that_more_users_may_read_is_refused(credentials: Path, bit: int) -> None:
    path = key_file(credentials / "site-key", 0o440 | bit)
    assert f"(mode {0o440 | bit:04o})" in refusal(path).message


def test_files_beside_the_credentials_are_not_credentials(credentials: Path) -> None:
    """Neither a neighbour, nor a folder with the same prefix, nor the target of a link there."""
    outside = credentials.parent.parent
    elsewhere = key_file(outside / "key", 0o440)
    alike = key_file(outside / "run-more" / "ostiary.service2" / "key", 0o440)
    link = credentials / "site-key"
    link.symlink_to(elsewhere)
    for path in (elsewhere, alike, link, credentials / ".." / ".." / "key"):
        assert "users other than its owner" in refusal(path).message


@pytest.mark.parametrize("folder", ["", None])
def test_without_credentials_the_working_folder_holds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    if folder is not None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", folder)
    assert "users other than its owner" in refusal(key_file(tmp_path / "key", 0o440)).message


def test_the_place_of_systemds_credentials() -> None:
    assert Path("/run/credentials") == keyfile.CREDENTIALS


def test_new_files_have_their_text_and_mode_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    secret, public = tmp_path / "key", tmp_path / "key.pub"
    create([(secret, HEX, SECRET), (public, "ab" * 32, PUBLIC)])
    assert (secret.read_bytes(), public.read_bytes()) == (f"{HEX}\n".encode(), b"ab" * 32 + b"\n")
    assert (mode_of(secret), mode_of(public)) == (0o600, 0o644)
    assert read(secret) == KEY


def test_a_secret_is_closed_to_others_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, seen, fchmod = os.umask(0), [], os.fchmod

    def looked_at(descriptor: int, mode: int) -> None:
        found = os.fstat(descriptor)
        seen.append((stat.S_IMODE(found.st_mode), found.st_size))
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", looked_at)
    try:
        create([(tmp_path / "key", HEX, SECRET)])
    finally:
        os.umask(old)
    assert seen == [(0o600, 0)]


def test_files_and_their_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bytes]] = []

    def noted(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((path.name, b"" if path.is_dir() else path.read_bytes()))

    monkeypatch.setattr(os, "fsync", noted)
    create([(tmp_path / "a", "1", SECRET), (tmp_path / "b", "2", PUBLIC)])
    folder = (tmp_path.name, b"")
    assert synced == [("a", b"1\n"), folder, ("b", b"2\n"), folder]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("kind", ["file", "dangling-link", "link-to-a-file", "folder"])
def test_no_file_is_overwritten_and_none_is_left_behind(
    tmp_path: Path, which: int, kind: str
) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    paths, other = [folder / "key", folder / "key.pub"], tmp_path / "other"
    if kind == "file":
        paths[which].write_text("old")
    elif kind == "folder":
        paths[which].mkdir()
    else:
        paths[which].symlink_to(other)
        if kind == "link-to-a-file":
            other.write_text("old")
    with pytest.raises(FileExistsError) as refused:
        create([(path, HEX, SECRET) for path in paths])
    assert refused.value.filename == str(paths[which])
    assert list(folder.iterdir()) == [paths[which]]
    if kind == "dangling-link":
        assert not other.exists()
    elif kind != "folder":
        assert paths[which].read_text() == "old"


@pytest.mark.parametrize("kind", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["fsync", "fchmod"])
@pytest.mark.parametrize("after", [0, 1])
def test_a_failure_leaves_no_file_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: BaseException,
    call: str,
    after: int,
) -> None:
    real = getattr(os, call)
    done: list[int] = []

    def failing(descriptor: int, *more: int) -> None:
        # Syncing a folder is not counted: each file is made before that.
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            if len(done) == after:
                raise kind
            done.append(descriptor)
        real(descriptor, *more)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(type(kind)):
        create([(tmp_path / "key", HEX, SECRET), (tmp_path / "key.pub", HEX, PUBLIC)])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_synced_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_folder: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(keyfile, "sync_dir", broken)
    with pytest.raises(OSError, match="Input/output"):
        create([(tmp_path / "key", HEX, SECRET)])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_second_folder_leaves_no_file_behind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        create([(tmp_path / "key", HEX, SECRET), (tmp_path / "none" / "key.pub", HEX, PUBLIC)])
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_is_not_ascii_leaves_no_file_behind(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        create([(tmp_path / "key", HEX, SECRET), (tmp_path / "key.pub", "schlüssel", PUBLIC)])
    assert list(tmp_path.iterdir()) == []
