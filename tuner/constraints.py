"""Constraints between parameters: small arithmetic expressions, read by a safe evaluator."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

from simpleeval import DEFAULT_OPERATORS, InvalidExpression, SimpleEval

from tuner.errors import InvalidInput
from tuner.space import Params

FUNCTIONS: dict[str, Callable[..., float]] = {
    "abs": abs,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "max": max,
    "min": min,
    "sqrt": math.sqrt,
}
_DEEPEST = 50
"""Levels of an expression: the evaluator calls itself for each."""
_NODES = (
    ast.Expression, ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Name, ast.Load,
    ast.Constant, ast.Call, ast.operator, ast.cmpop, ast.boolop, ast.unaryop,
)  # fmt: skip
_BARRED = (
    ast.Is,
    ast.IsNot,
    ast.LShift,
    ast.RShift,
    ast.BitAnd,
    ast.BitOr,
    ast.BitXor,
    ast.MatMult,
)


def _power(base: float, exponent: float) -> float:
    """Return a power in floats: one of whole numbers may have millions of digits."""
    return float(float(base) ** float(exponent))


def _remainder(left: float, right: float) -> float:
    """Return a remainder of numbers: for a text `%` means formatting, to any length."""
    if isinstance(left, str):
        raise TypeError("a text has no remainder")
    return left % right


_OPERATORS = {**DEFAULT_OPERATORS, ast.Pow: _power, ast.Mod: _remainder}


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A condition such as `lr * 256 / batch_size <= 4` that a point must meet."""

    text: str
    names: frozenset[str]

    def holds(self, params: Params) -> bool:
        """Tell whether `params` meet the condition.

        It holds where a parameter it names does not exist, and fails where it can't be computed.
        """
        if not self.names <= params.keys():
            return True
        try:
            evaluator = SimpleEval(operators=_OPERATORS, names=dict(params), functions=FUNCTIONS)
            return bool(evaluator.eval(self.text))
        except (ArithmeticError, ValueError, TypeError, InvalidExpression):
            return False


def parse(text: str, known: Collection[str]) -> Constraint:
    """Read a constraint over the parameters `known`.

    Raises:
        InvalidInput: it is no comparison, names something unknown, or uses what is not allowed.
    """
    if len(text) > 500:
        raise InvalidInput("a constraint has at most 500 characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise InvalidInput(f"{text!r} is not an expression") from exc
    if _depth(tree) > _DEEPEST:
        raise InvalidInput(f"{text!r} is nested too deeply")
    called = {n.func for n in ast.walk(tree) if isinstance(n, ast.Call)}
    for node in ast.walk(tree):
        _check(node, text, known, called)
    if not isinstance(tree.body, ast.Compare | ast.BoolOp | ast.UnaryOp):
        raise InvalidInput(f"{text!r} is not a comparison, such as 'lr * 256 / batch_size <= 4'")
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n not in called}
    if not names:
        raise InvalidInput(f"{text!r} names no parameter")
    return Constraint(text=text.strip(), names=frozenset(names))


def _depth(tree: ast.AST) -> int:
    levels, level = 0, [tree]
    while level:
        level = [inner for node in level for inner in ast.iter_child_nodes(node)]
        levels += 1
    return levels


def _check(node: ast.AST, text: str, known: Collection[str], called: set[ast.expr]) -> None:
    if not isinstance(node, _NODES) or isinstance(node, _BARRED):
        raise InvalidInput(f"{text!r} uses {type(node).__name__}, which constraints do not allow")
    if isinstance(node, ast.Call) and (not isinstance(node.func, ast.Name) or node.keywords):
        raise InvalidInput(f"{text!r}: call functions by name with plain arguments")
    if not isinstance(node, ast.Name):
        return
    if node in called:
        if node.id not in FUNCTIONS:
            raise InvalidInput(f"{node.id!r} is not one of the functions {', '.join(FUNCTIONS)}")
    elif node.id not in known:
        raise InvalidInput(f"{node.id!r} is not one of the parameters {', '.join(sorted(known))}")
