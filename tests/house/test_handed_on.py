"""Arguments go on from function to function by their names: none is forgotten, misplaced, or has another default.

not_handed_on.txt, out_of_order.txt and other_defaults.txt list the places where that is meant.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from signatures import Function, calls, described, own_nodes, signature_of

HERE = Path(__file__).parent


@cache
def names_in(function: Function) -> set[str]:
    """The parameters and variables of a function."""
    given = function.args
    found = {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)} - {"self", "cls"}
    stored = (node for node in own_nodes(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return found | {node.id for node in stored}


def not_handed_on() -> Iterator[str]:
    """Calls that leave out an optional argument, of whose name the caller has a parameter or a variable."""
    for call in calls():
        for name in sorted(names_in(call.caller)):
            if all(name in one.defaults and name not in one.given(call.node) for one in call.signatures):
                yield f"{call.place}: {call.name}: {name}"


def _name(value: ast.expr) -> str:
    return value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""


def out_of_order() -> Iterator[str]:
    """Calls that give in one parameter's place what has the name of another parameter."""
    for call in calls():
        for place, value in enumerate(call.node.args):
            name = _name(value)
            others = [one.positional.index(name) if name in one.positional else place for one in call.signatures]
            if all(other != place for other in others):
                yield f"{call.place}: {call.name}: {name}"


def other_defaults() -> Iterator[str]:
    """Calls that hand on a parameter whose default is not that of the function called."""
    for call in calls():
        mine = signature_of(call.caller, "").defaults
        for word in call.node.keywords:
            own = mine.get(_name(word.value))
            if own is None or not all(word.arg in one.defaults for one in call.signatures):
                continue
            theirs = {one.defaults[str(word.arg)] for one in call.signatures}
            if theirs != {own}:
                yield f"{call.place}: {call.name}: {word.arg}: {own}, {' or '.join(sorted(theirs))}"


def check(found: Iterator[str], name: str, advice: str) -> None:
    """Fail with the lines that are new, and with those of the list that are no longer true."""
    now, listed = set(found), set(described(HERE / name))
    new, gone = sorted(now - listed), sorted(listed - now)
    assert not new, f"{advice}, or list it in {name} where it is meant: {new}"
    assert not gone, f"remove from {name} what is no longer so: {gone}"


def test_an_argument_is_handed_on_where_the_next_function_takes_it() -> None:
    check(not_handed_on(), "not_handed_on.txt", "hand the argument on")


def test_arguments_are_given_in_the_order_of_the_parameters() -> None:
    check(out_of_order(), "out_of_order.txt", "give the arguments in the order of the parameters")


def test_a_default_is_the_same_all_along_the_way() -> None:
    check(other_defaults(), "other_defaults.txt", "make both defaults the same")


def test_functions_are_found() -> None:
    assert len(calls()) > 5000, "so that the lists are not empty because nothing was looked at"
