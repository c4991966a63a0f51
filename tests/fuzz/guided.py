"""The same promises under Atheris, a fuzzer that is guided by the branches an input takes.

Atheris is not among the developers' requirements; ``docs/fuzzing.md`` says how to run this. Bytes that
lead somewhere new are kept in the first folder given, as in ``libFuzzer``.
"""

import importlib
import sys

_STATUSES = (200, 200, 200, 404, 400, 429, 503, 418)


def main() -> None:
    """Fuzz until something fails, or as long as the command line says."""
    # By name: neither the linter nor the type checker finds it where it is not installed.
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["sidecar"]):
        judge_body = importlib.import_module("tests.fuzz.running").judge_body

    def one_input(data: bytes) -> None:
        """Judge one input: a first byte from 0xF8 on chooses a status, all else is an answer of 200."""
        if data and data[0] >= 0xF8:
            judge_body(data[1:], _STATUSES[data[0] - 0xF8])
        else:
            judge_body(data)

    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
