"""JMESPath expressions over records, with the few functions that a mapping to Wicked needs.

The language and its own functions are those of https://jmespath.org/specification.html. Added are `utc`, `money`,
`lower`, `concat`, `regex` and `coalesce`; a missing value makes them null, never an error. Amounts are decimals all
the way: `money` makes them, comparisons, `sum` and `abs` keep them exact.

What can be known to be wrong before a record is seen, is: the syntax, names of functions and how many values they
take, patterns, units and time zones, and whatever consists of constants alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

import jmespath
from jmespath.exceptions import ArityError, JMESPathError, JMESPathTypeError, LexerError, ParseError
from jmespath.visitor import Options, TreeInterpreter

from destination_wicked_reports.errors import ExpressionError, FieldError, SettingError
from destination_wicked_reports.mappings.custom.functions import MANY, SETTINGS, TAKES, WickedFunctions, number


@dataclass(slots=True, frozen=True)
class Expression:
    """One compiled expression; `roots` are the names it looks up in the record itself, none for a constant.

    `evaluate` takes the record (or, for an exploded list, the scope) and raises FieldError without quoting values.
    """

    evaluate: Callable[[Mapping[str, Any]], Any]
    roots: frozenset[str]

    @property
    def constant(self) -> bool:
        """Whether the value is the same for every record."""
        return not self.roots


def compile_expression(text: str) -> Expression:
    """Return the expression ready for use, or raise ExpressionError."""
    try:
        tree: Any = jmespath.compile(text).parsed
    except LexerError as error:
        raise ExpressionError(f"is no JMESPath expression: {error.message}") from None
    except ParseError as error:
        where = f" at character {error.lex_position + 1}" if error.lex_position < len(text) else ", which ends too soon"
        raise ExpressionError(f"is no JMESPath expression: something is wrong{where}") from None
    except RecursionError:
        raise ExpressionError("is nested too deep") from None
    except JMESPathError:
        raise ExpressionError("is empty; write a JMESPath expression such as email or 'a text'") from None
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


#: What follows the first part of these looks at that part, not at the record.
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
        raise ExpressionError(f"there is no function {name}()" + (f"; did you mean {close[0]}()?" if close else ""))
    parts = known["signature"]
    least, most = TAKES.get(name) or (len(parts), MANY if parts and parts[-1].get("variadic") else len(parts))
    if not least <= len(values) <= most:
        number = str(least) if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"
        raise ExpressionError(f"{name}() takes {number} values and was given {len(values)}")
    settings = SETTINGS.get(name)
    if settings is not None and len(values) == 2:
        if values[1]["type"] != "literal" or not isinstance(values[1]["value"], str):
            raise ExpressionError(f"the second value of {name}() must be a text in single quotes")
        try:
            settings(values[1]["value"])
        except SettingError as error:
            raise ExpressionError(str(error)) from None


def _evaluator(tree: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Return what finds the value. Names, paths of names and our functions over them need no interpreter."""
    kind, named = tree["type"], tree.get("value")
    if kind == "field":
        return lambda data: data.get(named)
    if kind == "literal":
        return lambda _: named
    if kind == "function_expression" and named in TAKES:
        function = WickedFunctions.FUNCTION_TABLE[named]["function"]
        arguments = [_evaluator(argument) for argument in tree["children"]]
        return lambda data: function(_FUNCTIONS, *[argument(data) for argument in arguments])
    path = [node["value"] for node in tree["children"]] if _is_path(tree) else []

    def follow(data: Mapping[str, Any]) -> Any:
        value: Any = data
        for name in path:
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
            raise FieldError("", f"{error.function_name}() cannot take {error.actual_type} values") from None
        except ArityError as error:
            raise FieldError("", f"{error.function_name}() was given too few or too many values") from None
        except (JMESPathError, ArithmeticError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise FieldError("", f"the expression cannot be worked out ({type(error).__name__})") from None

    return follow if path else interpret


def _is_path(tree: Mapping[str, Any]) -> bool:
    return tree["type"] == "subexpression" and all(node["type"] == "field" for node in tree["children"])


class _Interpreter(TreeInterpreter):
    """JMESPath's interpreter, which compares decimals with other numbers, too."""

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
