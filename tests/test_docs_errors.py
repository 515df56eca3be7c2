"""The page on errors has every exception of core/errors.py, under its own parent, in its order."""

from __future__ import annotations

import inspect
import re

import pytest

from focal.core import errors
from focal.core.errors import FocalError
from tests.deadline import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text()
THERE = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, FocalError)
}
SECTIONS = dict(re.findall(r"^##+ (\w+)\n\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_every_exception_has_its_section_and_nothing_else_has() -> None:
    assert list(SECTIONS) == list(THERE)


@pytest.mark.parametrize("name", [name for name in THERE if name != "FocalError"])
def test_a_section_names_the_parent(name: str) -> None:
    (parent,) = THERE[name].__bases__
    assert SECTIONS[name].startswith(f"A `{parent.__name__}`: ")


@pytest.mark.parametrize("name", THERE)
def test_what_is_raised_says_what_to_do(name: str) -> None:
    never = "It is never raised itself" in SECTIONS[name]
    assert ("*What to do*: " in SECTIONS[name]) is not never


def test_the_tree_in_the_docstring_has_the_same_names() -> None:
    tree = re.findall(r"^[ │├└─]*(\w+) {2,}\S", errors.__doc__ or "", re.MULTILINE)
    assert tree == list(THERE)
