"""``make mutations``: break each promise in a copy of the checkout; exit code 1 unless tests notice all.

``python -m tools.mutations [--only WORD] [--revision COMMIT]``. A run of all writes docs/mutations.md.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain

from tools.mutations.page import DOCUMENT, markdown
from tools.mutations.promises import PROMISES, Mutation
from tools.mutations.running import CHECKOUT, Copy, MutationError, Result, Verdict, copied


def _check_untouched(copy: Copy, mutations: Sequence[Mutation]) -> None:
    """See that no test fails where no promise is broken."""
    tests = tuple(dict.fromkeys(chain.from_iterable(mutation.tests for mutation in mutations)))
    failed, number = copy.run(tests)
    if failed:
        raise MutationError(f"{failed} of {number} tests fail already, with no promise broken")
    print(f"{number} tests pass while no promise is broken", flush=True)


def _results(revision: str, mutations: Sequence[Mutation]) -> list[Result]:
    results = []
    with copied(revision) as copy:
        _check_untouched(copy, mutations)
        for mutation in mutations:
            results.append(copy.try_out(mutation))
            print(f"{mutation.promise}: {results[-1].words}", flush=True)
    return results


def main() -> None:
    """Break, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutations", description=__doc__)
    parser.add_argument("--only", default="", help="those whose promise has this word")
    parser.add_argument("--revision", default="HEAD", help="the commit to break; default: %(default)s")
    arguments = parser.parse_args()
    command = ("git", "-C", str(CHECKOUT), "rev-parse", "--short", arguments.revision)
    commit = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    mutations = [mutation for mutation in PROMISES if arguments.only.lower() in mutation.promise.lower()]
    try:
        results = _results(commit, mutations)
    except MutationError as error:
        sys.exit(str(error))
    caught = [result for result in results if result.verdict is Verdict.CAUGHT]
    print(f"{len(caught)} of {len(results)} broken promises were noticed, at commit {commit}")
    if not arguments.only:
        DOCUMENT.write_text(markdown(results, commit=commit, date=datetime.now(UTC).date()))
    sys.exit(len(caught) < len(results))


if __name__ == "__main__":
    main()
