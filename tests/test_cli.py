"""The command line as a whole: dispatch, help, and how errors become a line and an exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

import sidecar
from sidecar import __main__, cli
from sidecar.cli import COMMANDS, run
from sidecar.errors import Error, ListenError, NoDataError, UnreachableError, UsageError
from tests.support.waiting import DEADLINE_S

Outcome = Callable[[list[str]], int]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Outcome], None]:
    """Makes `fake` a command that does as it is told."""

    def make(main: Outcome) -> None:
        module = ModuleType("sidecar.commands.fake")
        module.main = main  # type: ignore[attr-defined] # what every command's module has
        monkeypatch.setitem(COMMANDS, "fake", "a command of this test")
        monkeypatch.setitem(sys.modules, module.__name__, module)

    return make


def raising(error: BaseException) -> Outcome:
    """A command that fails."""

    def main(_: list[str]) -> int:
        raise error

    return main


def process(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The program as a process of its own, without settings but these."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_LB_")}
    environment |= {"AZURE_LB_METADATA_IMDS_ENDPOINT": "http://127.0.0.1:9", **variables}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        capture_output=True,
        check=False,
        env=environment,
        text=True,
        timeout=DEADLINE_S,
    )


class TestHelp:
    """What the program says of itself."""

    @pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
    def test_help(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Without a command, or asked for help, it names every command with a line on each."""
        assert run(arguments) == 0

        output = capsys.readouterr().out
        assert output.startswith("usage: azure-lb-metadata COMMAND")
        for command, summary in COMMANDS.items():
            assert f"  {command} " in output
            assert summary in output

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        """It says its version."""
        assert run(["--version"]) == 0
        assert capsys.readouterr().out == f"azure-lb-metadata {sidecar.__version__}\n"

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_of_a_command(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Every command has help of its own, under its full name, and ends with 0."""
        assert run([command, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: azure-lb-metadata {command} ")

    @pytest.mark.parametrize("command", ["rnu", "--verbose", "", "Run"])
    def test_unknown_command(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        """An unknown command is wrong usage, and the line names those there are."""
        assert run([command]) == 2

        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert repr(command) in captured.err
        assert all(name in captured.err for name in COMMANDS)


class TestDispatch:
    """A command gets its arguments and decides on the exit code."""

    @pytest.mark.parametrize("code", [0, 1, 5])
    def test_exit_code(self, fake: Callable[[Outcome], None], code: int) -> None:
        """The exit code is the command's."""
        fake(lambda _: code)

        assert run(["fake"]) == code

    def test_arguments(self, fake: Callable[[Outcome], None]) -> None:
        """The command gets what follows its name, as it is."""
        seen: list[list[str]] = []

        def main(arguments: list[str]) -> int:
            seen.append(arguments)
            return 0

        fake(main)
        run(["fake", "--help", "--", "-x", ""])

        assert seen == [["--help", "--", "-x", ""]]

    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (Error("it failed"), 1),
            (ListenError("it failed"), 1),
            (UsageError("it failed"), 2),
            (NoDataError("it failed"), 4),
            (UnreachableError("it failed"), 4),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Error) else str(value),
    )
    def test_error(
        self,
        fake: Callable[[Outcome], None],
        error: Error,
        code: int,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """An error is one line on standard error and its own exit code."""
        fake(raising(error))

        assert run(["fake"]) == code
        assert capsys.readouterr() == ("", "azure-lb-metadata fake: it failed\n")

    def test_advice(self, fake: Callable[[Outcome], None], capsys: pytest.CaptureFixture[str]) -> None:
        """Advice stands on the same line, even where the text has several."""
        fake(raising(Error("it\nfailed", advice="mend it")))

        assert run(["fake"]) == 1
        assert capsys.readouterr().err == "azure-lb-metadata fake: it failed: mend it\n"

    def test_defect(self, fake: Callable[[Outcome], None]) -> None:
        """Any other exception is a defect and keeps its traceback."""
        fake(raising(LookupError("a defect")))

        with pytest.raises(LookupError):
            run(["fake"])

    def test_interrupt(self, fake: Callable[[Outcome], None], capsys: pytest.CaptureFixture[str]) -> None:
        """Ctrl-C ends a command as a shell expects, without a word."""
        fake(raising(KeyboardInterrupt()))

        assert run(["fake"]) == 130
        assert capsys.readouterr() == ("", "")

    def test_closed_output(
        self,
        fake: Callable[[Outcome], None],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Output that nobody reads any more is the end of the work, not a failure."""
        monkeypatch.setattr(sys, "stdout", sys.stdout)  # so that it is put back
        fake(raising(BrokenPipeError()))

        assert run(["fake"]) == 0
        assert capsys.readouterr().err == ""

    def test_main(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The entry point ends the process with the exit code of its command line."""
        monkeypatch.setattr(sys, "argv", ["azure-lb-metadata", "no-such-command"])

        with pytest.raises(SystemExit) as ended:
            __main__.main()
        assert ended.value.code == 2


class TestProcess:
    """The program as users run it."""

    def test_wrong_setting(self) -> None:
        """A wrong setting stops the start with 2 and one line that names flag and variable."""
        ended = process("run", "--no-annotations", AZURE_LB_METADATA_POLL_INTERVAL="10")

        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr == (
            "azure-lb-metadata run: --poll-interval (AZURE_LB_METADATA_POLL_INTERVAL): "
            "'10' is not a duration such as 10s, 1m30s or 250ms\n"
        )

    def test_unknown_flag(self) -> None:
        """An unknown flag stops the start with 2 and one line."""
        ended = process("run", "--no-annotations", "--no-such-flag")

        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.count("\n") == 1
        assert "--no-such-flag" in ended.stderr

    @pytest.mark.parametrize(
        "arguments", [["--help"], ["run", "--help"], ["simulate", "--list"]], ids=" ".join
    )
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_closed_output(self, arguments: list[str], unbuffered: str) -> None:
        """A reader that has seen enough (`… | head -1`) is no failure."""
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as output:
            ended = subprocess.run(
                [sys.executable, "-m", "sidecar", *arguments],
                stdout=output,
                stderr=subprocess.PIPE,
                check=False,
                env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
                timeout=DEADLINE_S,
            )

        assert (ended.returncode, ended.stderr) == (0, b"")

    def test_only_what_is_needed_is_imported(self) -> None:
        """The dispatch imports no command and none of the libraries behind them."""
        script = "import sys; from sidecar.cli import run; run(['--version']); print(*sys.modules)"
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)

        modules = set(ended.stdout.split())
        assert modules.isdisjoint({"aiohttp", "asyncio", "kubernetes", "pydantic", "yaml"})
        assert not any(name.startswith("sidecar.commands.") for name in modules)


def test_program_name() -> None:
    """The program is called as its distribution is."""
    assert cli.PROGRAM == "azure-lb-metadata"
