"""docs/reliability.md and the tests say the same: one row a fault, and every test that a row names is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reliability.md").read_text("utf-8")
FAULTS = 52
NOT_INJECTED = "not injected yet: "
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> dict[int, list[str]]:
    """By the fault's number: its other cells."""
    found: dict[int, list[str]] = {}
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| ") and cells[0].isdigit():
            assert int(cells[0]) not in found, f"fault {cells[0]} has two rows"
            found[int(cells[0])] = cells[1:]
    return found


@cache
def functions_of(path: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """The test functions of a file that pytest collects."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_fault_has_one_row() -> None:
    assert list(rows()) == list(range(1, FAULTS + 1))
    assert {len(cells) for cells in rows().values()} == {5}


@pytest.mark.parametrize("fault", range(1, FAULTS + 1))
def test_a_row_names_what_injects_the_fault_or_says_that_nothing_does(fault: int) -> None:
    name, happens, state, injected_by, seen = rows()[fault]

    assert all((name, happens, state, seen))
    if injected_by.startswith(NOT_INJECTED):
        assert TEST.search(injected_by) is None
        assert injected_by != NOT_INJECTED.strip()
    else:
        assert "<br>".join(f"`{path}::{test}`" for path, test in TEST.findall(injected_by)) == injected_by
        assert seen != "–"


@pytest.mark.parametrize(("path", "name"), sorted(set(TEST.findall(PAGE))))
def test_every_test_that_is_named_is_there_and_runs(path: str, name: str) -> None:
    assert Path(path).name.startswith("test_")
    assert (ROOT / path).is_file()
    marks = [ast.unparse(one) for one in functions_of(path)[name].decorator_list]
    assert not any(mark.startswith(("pytest.mark.skip(", "pytest.mark.xfail", "pytest.mark.chaos")) for mark in marks)
