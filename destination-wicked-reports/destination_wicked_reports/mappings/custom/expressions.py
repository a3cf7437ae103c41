"""Compiles JMESPath expressions with additional functions for mappings.

Language and built-in functions follow https://jmespath.org/specification.html. `functions.py` adds `utc`, `money`,
`lower`, `trim`, `concat`, `regex`, `parse` and `coalesce`, which return null for a missing value. A path leads into an
object or a list that is stored as JSON text. Amounts stay decimals: `money` returns
them, and comparisons, `sum` and `abs` keep them exact.

Compiling finds errors of syntax, unknown functions, wrong numbers of arguments, invalid patterns, units and time zones,
and any error in a part that consists of constants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import jmespath
from jmespath.exceptions import ArityError, JMESPathError, JMESPathTypeError, LexerError, ParseError
from jmespath.visitor import Options, TreeInterpreter

from destination_wicked_reports.api.json_text import decode_json_text
from destination_wicked_reports.errors import ExpressionError, FieldError, SettingError
from destination_wicked_reports.mappings.custom.functions import (
    ARGUMENT_COUNTS,
    MANY,
    SETTINGS,
    WickedFunctions,
    number,
)


@dataclass(slots=True, frozen=True)
class Expression:
    """A compiled expression. `roots` are the top-level names it reads; a constant has none.

    `evaluate` takes a record, or the scope of an entry with `for_each`. It raises FieldError without quoting values.
    """

    evaluate: Callable[[Mapping[str, Any]], Any]
    roots: frozenset[str]

    @property
    def constant(self) -> bool:
        """Return whether the value is the same for every record."""
        return not self.roots


def compile_expression(text: str) -> Expression:
    """Compile an expression; raises ExpressionError."""
    try:
        tree: Any = jmespath.compile(text).parsed
    except LexerError as error:
        raise ExpressionError(f"is not a valid JMESPath expression: {error.message}{_quotes_hint(text)}") from None
    except ParseError as error:
        if error.lex_position < len(text):
            where = f"syntax error at character {error.lex_position + 1}"
        else:
            where = "it ends too early"
        raise ExpressionError(f"is not a valid JMESPath expression: {where}{_quotes_hint(text)}") from None
    except RecursionError:
        raise ExpressionError("is nested too deeply") from None
    except JMESPathError:
        raise ExpressionError("is empty; write a JMESPath expression such as email or 'a constant'") from None
    for node in _nodes(tree):
        if node["type"] == "function_expression":
            _check_function(node)
    roots, evaluate = _roots(tree), _evaluator(tree)
    if roots:
        return Expression(evaluate, roots)
    try:
        value = evaluate({})
    except FieldError as error:
        raise ExpressionError(error.reason) from None
    return Expression(lambda _: value, roots)


_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|[\"'`].*")
#: A name with a blank, or a word that is neither a name nor a number.
_UNQUOTED_NAME = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*(?: +[A-Za-z0-9_]+)+|(?![A-Za-z_][A-Za-z0-9_]*(?![^\s.,()\[\]{}|&=<>!@*:?\"'`])|-?[0-9]+\b)"
    r"[^\s.,()\[\]{}|&=<>!@*:?\"'`]+"
)


def _quotes_hint(text: str) -> str:
    """Return a sentence if the expression seems to have a name that JMESPath reads only in double quotes."""
    found = _UNQUOTED_NAME.search(_QUOTED.sub(lambda quoted: "@" * len(quoted[0]), text))
    if found is None or not any(map(str.isalnum, found[0])):
        return ""
    return (
        f'. Write the name {found[0]} in double quotes, "{found[0]}": a name without quotes has only letters, digits '
        "and _, and does not begin with a digit"
    )


#: Only the first part of these reads the record; the others read the result of the part before.
_CHAINS = frozenset(
    {"subexpression", "index_expression", "pipe", "projection", "filter_projection", "value_projection", "flatten"}
)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
        for child in tree.get("children", ()):
            yield from _nodes(child)


def _roots(tree: Any) -> frozenset[str]:
    kind = tree["type"] if isinstance(tree, dict) else "literal"
    if kind == "field":
        return frozenset({tree["value"]})
    if kind in ("current", "identity"):
        return frozenset({"@"})
    if kind in ("literal", "expref"):
        return frozenset()
    children = tree["children"][:1] if kind in _CHAINS else tree["children"]
    return frozenset().union(*(_roots(child) for child in children))


def _check_function(node: Mapping[str, Any]) -> None:
    name, values = node["value"], node["children"]
    known = WickedFunctions.FUNCTION_TABLE.get(name)
    if known is None:
        close = get_close_matches(name, WickedFunctions.FUNCTION_TABLE, 1)
        raise ExpressionError(f"unknown function {name}()" + (f"; did you mean {close[0]}()?" if close else ""))
    parts = known["signature"]
    least, most = ARGUMENT_COUNTS.get(name) or (len(parts), MANY if parts and parts[-1].get("variadic") else len(parts))
    if not least <= len(values) <= most:
        number = str(least) if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"
        noun = "argument" if most == 1 else "arguments"
        raise ExpressionError(f"{name}() takes {number} {noun}, not {len(values)}")
    settings = SETTINGS.get(name)
    if settings is not None and len(values) > 1:
        for which, value in zip(("second", "third"), values[1:], strict=False):
            if value["type"] != "literal" or not isinstance(value["value"], str):
                raise ExpressionError(f"the {which} argument of {name}() must be a text in single quotes")
        try:
            settings(*(value["value"] for value in values[1:]))
        except SettingError as error:
            raise ExpressionError(str(error)) from None


def _evaluator(tree: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function that evaluates the tree. Names, paths and our own functions skip the slow interpreter."""
    kind, named = tree["type"], tree.get("value")
    if kind == "field":
        return lambda data: data.get(named)
    if kind == "literal":
        return lambda _: named
    if kind == "function_expression" and named in ARGUMENT_COUNTS:
        function = WickedFunctions.FUNCTION_TABLE[named]["function"]
        arguments = [_evaluator(argument) for argument in tree["children"]]
        return lambda data: function(_FUNCTIONS, *[argument(data) for argument in arguments])
    path = [node["value"] for node in tree["children"]] if _is_path(tree) else []

    def follow(data: Mapping[str, Any]) -> Any:
        value: Any = data
        for name in path:
            if not isinstance(value, dict):
                value = decode_json_text(value)
                if not isinstance(value, dict):
                    return None
            value = value.get(name)
        return value

    def interpret(data: Mapping[str, Any]) -> Any:
        try:
            return _INTERPRETER.visit(tree, data)
        except FieldError:
            raise
        except JMESPathTypeError as error:
            raise FieldError(
                "", f"{error.function_name}() does not accept values of type {error.actual_type}"
            ) from None
        except ArityError as error:
            raise FieldError("", f"{error.function_name}() has the wrong number of arguments") from None
        except (JMESPathError, ArithmeticError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise FieldError("", f"the expression failed ({type(error).__name__})") from None

    return follow if path else interpret


def _is_path(tree: Mapping[str, Any]) -> bool:
    return tree["type"] == "subexpression" and all(node["type"] == "field" for node in tree["children"])


class _Interpreter(TreeInterpreter):
    """JMESPath's interpreter, extended to compare decimals with other numbers and to read JSON text."""

    def visit_field(self, node: Any, value: Any) -> Any:
        """Return a field, also of an object that is stored as JSON text."""
        return super().visit_field(node, decode_json_text(value))

    def visit_index(self, node: Any, value: Any) -> Any:
        """Return an element, also of a list that is stored as JSON text."""
        return super().visit_index(node, decode_json_text(value))

    def visit_comparator(self, node: Any, value: Any) -> Any:
        left, right = (self.visit(child, value) for child in node["children"])
        if isinstance(left, Decimal) or isinstance(right, Decimal):
            try:
                left, right = number("", left), number("", right)
            except FieldError:
                return {"eq": False, "ne": True}.get(node["value"])
            return self.COMPARATOR_FUNC[node["value"]](left, right)
        literals: Any = {**node, "children": [{"type": "literal", "value": side} for side in (left, right)]}
        return super().visit_comparator(literals, value)


_FUNCTIONS = WickedFunctions()
_INTERPRETER = _Interpreter(Options(custom_functions=_FUNCTIONS))
