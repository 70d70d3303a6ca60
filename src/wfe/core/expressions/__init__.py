"""The expression language: a documented profile of CEL (docs/expressions.md), parsed and evaluated in pure Python.

Pure; never evaluates Python text. Text goes through `lexer`, `parser` (tree: `nodes`) and `compiler` (closures over
`values` and `functions`); `expression` and `template` are what the engine holds; `unparse` and `rewrite` serve those
who write expressions, `typing` those who check them.
"""

from wfe.core.expressions.compiler import NOW, Lookup, Metered
from wfe.core.expressions.expression import Expression, compile_expression
from wfe.core.expressions.lexer import RESERVED
from wfe.core.expressions.parser import parse
from wfe.core.expressions.rewrite import free_names, substitute
from wfe.core.expressions.template import Template, compile_template, escape
from wfe.core.expressions.unparse import constant, literal, quote_string, unparse
from wfe.core.expressions.values import Absent
from wfe.errors import ExpressionError

__all__ = [
    "NOW",
    "RESERVED",
    "Absent",
    "Expression",
    "ExpressionError",
    "Lookup",
    "Metered",
    "Template",
    "compile_expression",
    "compile_template",
    "constant",
    "escape",
    "free_names",
    "literal",
    "parse",
    "quote_string",
    "substitute",
    "unparse",
]
