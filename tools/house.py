"""Measure the shape of the code: ``make house``, or ``python -m tools.house [CHECKOUT]`` for another one.

Numbers are there to notice, not to game: three short files with one caller each are worse than one that reads
down the page. What is counted are the Python files of ``sidecar/``; a line is a line of a file.
"""

import argparse
import ast
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

TARGETS = {
    "files": "<= 135",
    "lines": "<= 17,500",
    "functions": "<= 950",
    "private functions with one caller": "<= 12 %",
    "public class names with several meanings": "0",
    "folders of doctor": "1",
    "folders of nodes, rules, prune": "1",
    "lines of harness in tests/": "<= 11,000",
}

FEATURES = {
    "folders of doctor": ("doctor", "doctoring", "diagnosis", "examination"),
    "folders of nodes, rules, prune": ("nodes", "rules", "prune", "pruning", "fleet"),
}
"""Which files belong to a feature, by a part of their path."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A file of Python."""

    path: Path
    text: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path) -> "Module":
        """Parse a file.

        Raises:
            SyntaxError: it is not Python.
        """
        text = path.read_text()
        return cls(path, text, ast.parse(text))

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return len(self.text.splitlines())

    def functions(self) -> Iterator[Function]:
        """All functions and methods in it, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def classes(self) -> Iterator[ast.ClassDef]:
        """Its classes at the top."""
        return (node for node in self.tree.body if isinstance(node, ast.ClassDef))

    def mentions(self) -> Iterator[str]:
        """Each name that is read in it, whether by itself or as an attribute."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                yield node.attr


def once_called(module: Module) -> list[str]:
    """The private functions and methods of a file that exactly one place in it uses."""
    mentions = Counter(module.mentions())
    return [
        function.name
        for function in module.functions()
        if function.name.startswith("_") and not function.name.endswith("__") and mentions[function.name] == 1
    ]


def length(function: Function) -> int:
    """Lines of a function without its docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        whole -= (first.end_lineno or first.lineno) - first.lineno + 1
    return whole


def percentile(values: Sequence[int], part: float) -> int:
    """The value that `part` of all values are at most."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def spread(values: Sequence[int]) -> str:
    """Median, 90th percentile and largest."""
    return f"{statistics.median(values):.0f} · {percentile(values, 0.9)} · {max(values)}"


def homonyms(modules: Sequence[Module]) -> list[str]:
    """Public class names that several files define."""
    names = Counter(node.name for module in modules for node in module.classes() if node.name[0] != "_")
    return sorted(name for name, count in names.items() if count > 1)


def internal_imports(module: Module) -> int:
    """How many modules of the program a file imports."""
    found = {
        node.module
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sidecar")
    }
    return len(found)


def folders(modules: Sequence[Module], parts: Sequence[str], root: Path) -> list[str]:
    """The folders that hold files of a feature."""
    found = set()
    for module in modules:
        path = module.path.relative_to(root)
        if any(part in word for word in path.with_suffix("").parts for part in parts):
            found.add(str(path.parent))
    return sorted(found)


def measured(checkout: Path) -> dict[str, str]:
    """Each figure by what it is."""
    root = checkout / "sidecar"
    modules = [Module.read(path) for path in sorted(root.rglob("*.py"))]
    functions = [function for module in modules for function in module.functions()]
    once = [name for module in modules for name in once_called(module)]
    several = homonyms(modules)
    imports = statistics.mean(map(internal_imports, modules))
    tests = [Module.read(path) for path in sorted((checkout / "tests").rglob("*.py"))]
    harness = sum(module.lines for module in tests if not module.path.name.startswith("test_"))
    figures = {
        "files": f"{len(modules)}",
        "lines": f"{sum(module.lines for module in modules):,}",
        "lines of a file: median · p90 · largest": spread([module.lines for module in modules]),
        "functions": f"{len(functions):,}",
        "lines of a function: median · p90 · largest": spread([length(function) for function in functions]),
        "private functions with one caller": f"{100 * len(once) / len(functions):.0f} % ({len(once)})",
        "public class names with several meanings": f"{len(several)}: {', '.join(several)}",
        "modules of the program that a file imports": f"{imports:.1f}",
        "modules with __all__": f"{sum('__all__' in module.text for module in modules)}",
    }
    for name, parts in FEATURES.items():
        found = folders(modules, parts, root)
        figures[name] = f"{len(found)} ({', '.join(found)})"
    figures["lines of tests/"] = f"{sum(module.lines for module in tests):,}"
    figures["lines of harness in tests/"] = f"{harness:,}"
    return figures


def main() -> None:
    """Print a table: the figure, and what is to be reached."""
    parser = argparse.ArgumentParser(prog="tools.house", description="Measure the shape of the code.")
    parser.add_argument("checkout", nargs="?", type=Path, default=CHECKOUT, help="default: this one")
    parser.add_argument(
        "--once", type=Path, metavar="FOLDER", help="list the private functions there that have one caller"
    )
    given = parser.parse_args()
    if given.once is not None:
        for path in sorted(given.once.rglob("*.py")):
            module = Module.read(path)
            lines = {function.name: length(function) for function in module.functions()}
            for name in once_called(module):
                print(f"{path}: {name}, {lines[name]} lines")
        return
    for name, figure in measured(given.checkout).items():
        target = f"   to reach: {TARGETS[name]}" if name in TARGETS else ""
        print(f"{name:<46}{figure}{target}")


if __name__ == "__main__":
    main()
