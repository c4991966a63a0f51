"""The programs the API server tests run against are found, and only in the wanted version."""

from pathlib import Path

import pytest

from tools.binaries import build
from tools.binaries.programs import (
    PROGRAMS,
    BinariesMissingError,
    Program,
    cached_path,
    locate,
    named,
    reported_version,
    wanted_version,
)

APISERVER = named("kube-apiserver")


def fake(path: Path, *, says: str, code: int = 0) -> Path:
    """A program at `path` that prints `says` and ends with `code`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("Kubernetes v1.34.4", "1.34.4"),
        ("etcd Version: 3.6.4\nGit SHA: none\nGo Version: go1.26.8", "3.6.4"),
        ("Client Version: v1.34.4\nKustomize Version: v5.7.1", "1.34.4"),
        ("Kubernetes v0.0.0-master+$Format:%H$", "0.0.0-master+$Format:%H$"),
        ("hello", None),
    ],
)
def test_version_is_read_from_what_a_program_says(tmp_path: Path, says: str, version: str | None) -> None:
    """The first version a program prints is its own."""
    assert reported_version(APISERVER, fake(tmp_path / "program", says=says)) == version


def test_program_that_fails_has_no_version(tmp_path: Path) -> None:
    """A program that ends with an error, or is no program, tells no version."""
    assert reported_version(APISERVER, fake(tmp_path / "program", says="Kubernetes v1.34.4", code=1)) is None
    assert reported_version(APISERVER, tmp_path / "missing") is None


def test_version_is_read_from_the_linkers_note(tmp_path: Path) -> None:
    """A program that tells no version has the one that Go's linker has noted of its own module."""
    silent = Program("silent", "a.example/b/cmd/silent", "a.example/b", frozenset(), version_arguments=())
    path = tmp_path / "silent"
    assert reported_version(silent, path) is None
    path.write_bytes(b"\x7fELF\0dep\ta.example/b\tv9.9.9\th1:x=\nmod\ta.example/b\tv1.2.3\th1:y=\n")
    assert reported_version(silent, path) == "1.2.3"
    path.write_bytes(b"\x7fELF\0mod\ta.example/other\tv1.2.3\th1:y=\n")
    assert reported_version(silent, path) is None


def test_every_program_has_a_version_in_the_module_file() -> None:
    """go.mod names a version for each program of the table."""
    assert all(wanted_version(program)[0].isdigit() for program in PROGRAMS)


def test_cached_program_is_located(tmp_path: Path) -> None:
    """A program in the cache that tells the wanted version is used."""
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    path = cached_path(APISERVER, environment)
    fake(path, says=f"Kubernetes v{wanted_version(APISERVER)}")
    assert locate("kube-apiserver", environment) == path


def test_cached_program_of_another_version_is_refused(tmp_path: Path) -> None:
    """A program in the cache that tells another version is not used, and both versions are named."""
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    fake(cached_path(APISERVER, environment), says="Kubernetes v1.2.3")
    with pytest.raises(
        BinariesMissingError, match=f"is version 1.2.3, wanted is {wanted_version(APISERVER)}"
    ):
        locate("kube-apiserver", environment)


def test_missing_program_is_named(tmp_path: Path) -> None:
    """A program that is not in the cache is named as not built."""
    with pytest.raises(BinariesMissingError, match=r"kube-apiserver .* is not built"):
        locate("kube-apiserver", {"XDG_CACHE_HOME": str(tmp_path)})


def test_own_programs_go_before_the_cache(tmp_path: Path) -> None:
    """KUBEBUILDER_ASSETS is used in whatever version, and never mixed with the cache."""
    environment = {"KUBEBUILDER_ASSETS": str(tmp_path)}
    path = fake(tmp_path / "kube-apiserver", says="Kubernetes v1.2.3")
    assert locate("kube-apiserver", environment) == path
    with pytest.raises(BinariesMissingError, match="holds no program etcd"):
        locate("etcd", environment)


def test_build_without_go_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Go on PATH the build ends with code 1 and says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    assert build.main(["apiserver"]) == 1
    assert "no Go on PATH: install Go" in capsys.readouterr().err


def test_build_refuses_an_old_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Go that cannot fetch the toolchain go.mod names is refused before it misreads that file."""
    fake(tmp_path / "go", says="go version go1.19.8 linux/amd64")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(build.BuildError, match=r"go1\.19\.8 .* is too old"):
        build.check_go()


def fake_go(folder: Path, *, builds_version: str) -> None:
    """A Go on which everything builds at once, into a program that tells `builds_version`."""
    program = f"echo Kubernetes v{builds_version}"
    script = f"""#!/bin/sh
    while [ $# -gt 0 ]; do
        if [ "$1" = -o ]; then printf '#!/bin/sh\\n{program}\\n' > "$2"; chmod +x "$2"; fi
        shift
    done
    echo k8s.io/kubernetes/cmd/kube-apiserver >&2
    """
    folder.mkdir()
    (folder / "go").write_text(script)
    (folder / "go").chmod(0o755)


@pytest.fixture
def cache_with_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds a kube-apiserver of version 1.2.3; the path of that program."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    return fake(cached_path(APISERVER), says="Kubernetes v1.2.3")


def test_build_replaces_a_program_of_another_version(
    tmp_path: Path, cache_with_another_version: Path
) -> None:
    """What the cache holds in another version is built anew, and once it is right it is left alone."""
    fake_go(tmp_path / "bin", builds_version=wanted_version(APISERVER))
    build.provide(APISERVER)
    assert reported_version(APISERVER, cache_with_another_version) == wanted_version(APISERVER)
    (tmp_path / "bin" / "go").unlink()
    build.provide(APISERVER)


def test_build_refuses_a_result_of_another_version(tmp_path: Path, cache_with_another_version: Path) -> None:
    """A program that was built and tells another version never gets into the cache."""
    fake_go(tmp_path / "bin", builds_version="4.5.6")
    with pytest.raises(build.BuildError, match=r"says version 4\.5\.6"):
        build.provide(APISERVER)
    assert reported_version(APISERVER, cache_with_another_version) == "1.2.3"
    assert list(cache_with_another_version.parent.iterdir()) == [cache_with_another_version]


def test_progress_tells_packages_and_downloads_from_errors() -> None:
    """Package paths and downloads are counted; everything else is kept for the error."""
    progress = build.Progress("etcd", 3)
    taken = [
        progress.take("go.etcd.io/etcd/server/v3"),
        progress.take("go: downloading go.etcd.io/bbolt v1.4.2"),
        progress.take("server/main.go:1:1: syntax error"),
    ]
    assert taken == [True, True, False]
    assert str(progress) == "  etcd: 1 of at most 3 packages compiled, 1 modules fetched, 0 min 00 s"
