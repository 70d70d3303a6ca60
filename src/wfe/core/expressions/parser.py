"""Tokens to a syntax tree, by precedence climbing. Bounded in length, depth and nesting of comprehensions.

Pure. Whatever the text is, `parse` gives a tree or raises ExpressionError: which functions exist, and with how many
arguments, is checked here too, so a tree that was parsed can always be compiled.
"""

from __future__ import annotations

from typing import cast, get_args

from wfe import limits
from wfe.core.expressions import nodes as ast
from wfe.core.expressions.lexer import INT_MAX, KEYWORDS, RESERVED, Token, refuse, tokenize
from wfe.core.expressions.signatures import LITERAL_ONLY, check_call

MACROS = frozenset(get_args(ast.Macro))
PRECEDENCE = {"||": 1, "&&": 2}
PRECEDENCE |= dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3)
PRECEDENCE |= dict.fromkeys("+-", 4) | dict.fromkeys("*/%", 5)


def parse(text: str) -> ast.Node:
    """The tree of a whole text. Raises ExpressionError with the position of the mistake."""
    _check_length(text, len(text))
    return _Parser(text, tokenize(text)).whole()


def embedded_end(text: str, start: int) -> int:
    """Where the expression that starts at ``start`` ends: the offset of the ``}`` that closes its ``${``."""
    return tokenize(text, start, embedded=True)[-1].start


def _check_length(text: str, length: int) -> None:
    if length > limits.EXPRESSION_CHARS_MAX:
        refuse(f"an expression is at most {limits.EXPRESSION_CHARS_MAX} characters long", text[:100] + "...", 0)


class _Parser:
    """One pass over one text. Each method takes the depth that its node will have and returns the node."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text, self.tokens, self.at = text, tokens, 0
        self.nesting = 0  # of comprehensions
        self.depth = 0  # of brackets and conditionals

    def whole(self) -> ast.Node:
        if self.tokens[0].kind == "end":
            refuse("an empty expression", self.text, self.tokens[0].start)
        node = self.expression()
        if self.token.kind != "end":
            refuse(f"unexpected {self._shown()}", self.text, self.token.start)
        _check_depth(node, self.text)
        return node

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def _shown(self) -> str:
        token = self.token
        return "end of the expression" if token.kind == "end" else repr(self.text[token.start : token.end])

    def _take(self, kind: str) -> Token:
        token = self.token
        if token.kind != kind:
            refuse(f"expected {kind!r}, found {self._shown()}", self.text, token.start)
        self.at += 1
        return token

    def _accept(self, kind: str) -> bool:
        if self.token.kind == kind:
            self.at += 1
            return True
        return False

    def expression(self) -> ast.Node:
        """A conditional or anything that binds tighter."""
        self.depth += 1
        if self.depth > limits.EXPRESSION_DEPTH_MAX:
            refuse(f"nested deeper than {limits.EXPRESSION_DEPTH_MAX}", self.text, self.token.start)
        node = self._binary(1)
        if self.token.kind == "?":
            position = self._take("?").start
            then = self._binary(1)
            self._take(":")
            node = ast.Conditional(node, then, self.expression(), position)
        self.depth -= 1
        return node

    def _binary(self, lowest: int) -> ast.Node:
        left = self._operand()
        while True:
            token = self.token
            operator = token.value if token.kind == "name" and token.value == "in" else token.kind
            precedence = PRECEDENCE.get(operator, 0)
            if precedence < lowest:
                return left
            self.at += 1
            if operator in ("&&", "||"):
                left = self._chain(operator, left, precedence, token.start)
            else:
                left = ast.Binary(operator, left, self._binary(precedence + 1), token.start)

    def _chain(self, operator: str, first: ast.Node, precedence: int, position: int) -> ast.Node:
        operands = [first, self._binary(precedence + 1)]
        while self._accept(operator):
            operands.append(self._binary(precedence + 1))
        return ast.Logic(cast("ast.Connective", operator), tuple(operands), position)

    def _operand(self) -> ast.Node:
        """Prefix operators, then a primary with its fields, indexes and calls. A minus before a number is its sign."""
        prefixes: list[Token] = []
        while self.token.kind in ("!", "-"):
            if self.token.kind == "-" and self.tokens[self.at + 1].kind in ("int", "float"):
                break
            prefixes.append(self._take(self.token.kind))
        node = self._postfix(self._primary())
        for token in reversed(prefixes):
            node = ast.Unary(cast("ast.Prefix", token.kind), node, token.start)
        return node

    def _postfix(self, node: ast.Node) -> ast.Node:
        while True:
            token = self.token
            if self._accept("."):
                name = self._take("name")
                if self.token.kind == "(":
                    node = self._method(node, name.value, name.start)
                else:
                    node = ast.Field(node, name.value, name.start)
            elif self._accept("["):
                node = ast.Index(node, self.expression(), token.start)
                self._take("]")
            else:
                return node

    def _primary(self) -> ast.Node:
        token = self.token
        self.at += 1
        match token.kind:
            case "string" | "bytes" | "float":
                return ast.Literal(token.value, token.start)
            case "int":
                return self._integer(token.value, token.start)
            case "-":
                number = self.token
                self.at += 1
                if number.kind == "int":
                    return self._integer(-number.value, token.start)
                return ast.Literal(-number.value, token.start)
            case "name":
                return self._name(token)
            case "(":
                node = self.expression()
                self._take(")")
                return node
            case "[":
                return ast.ListExpr(self._list("]"), token.start)
            case "{":
                return self._map(token.start)
            case _:
                self.at -= 1
                refuse(f"expected a value, found {self._shown()}", self.text, token.start)

    def _integer(self, value: int, position: int) -> ast.Node:
        if value > INT_MAX:
            refuse("an integer beyond 64 bits", self.text, position)
        return ast.Literal(value, position)

    def _name(self, token: Token) -> ast.Node:
        name: str = token.value
        if self.token.kind == "(" and name not in RESERVED:
            return self._call(name, token.start)
        if name in KEYWORDS:
            return ast.Literal(KEYWORDS[name], token.start)
        if name in RESERVED:
            refuse(f"{name!r} is a reserved word", self.text, token.start)
        return ast.Name(name, token.start)

    def _call(self, name: str, position: int) -> ast.Node:
        self._take("(")
        arguments = self._list(")")
        if name == "has":
            operand = arguments[0] if len(arguments) == 1 else None
            if not isinstance(operand, (ast.Name, ast.Field, ast.Index)):
                refuse("has() takes one path, as in has(order.coupon)", self.text, position)
            return ast.Has(operand, position)
        problem = check_call(name, len(arguments), method=False)
        if problem:
            refuse(problem, self.text, position)
        if name in LITERAL_ONLY and type(getattr(arguments[0], "value", None)) is not str:
            refuse(f'{name}() takes {LITERAL_ONLY[name]} in quotes, as in {name}("a")', self.text, position)
        return ast.Call(name, arguments, None, position)

    def _method(self, target: ast.Node, name: str, position: int) -> ast.Node:
        self._take("(")
        if name in MACROS:
            return self._comprehension(target, cast("ast.Macro", name), position)
        arguments = self._list(")")
        problem = check_call(name, len(arguments), method=True)
        if problem:
            refuse(problem, self.text, position)
        return ast.Call(name, arguments, target, position)

    def _comprehension(self, target: ast.Node, macro: ast.Macro, position: int) -> ast.Node:
        self.nesting += 1
        if self.nesting > limits.COMPREHENSION_DEPTH_MAX:
            refuse(f"comprehensions nested deeper than {limits.COMPREHENSION_DEPTH_MAX}", self.text, position)
        arguments = self._list(")")
        self.nesting -= 1
        counts = (2, 3) if macro == "map" else (2,)
        if len(arguments) not in counts or not isinstance(arguments[0], ast.Name):
            refuse(f"{macro}() takes a variable and an expression, as in items.{macro}(i, i.x)", self.text, position)
        condition = arguments[1] if len(arguments) == 3 else None
        return ast.Comprehension(macro, target, arguments[0].name, arguments[-1], condition, position)

    def _list(self, closer: str) -> tuple[ast.Node, ...]:
        """Expressions separated by commas; a trailing comma is fine in lists and maps."""
        items: list[ast.Node] = []
        while self.token.kind != closer:
            items.append(self.expression())
            if not self._accept(","):
                break
            if closer == ")" and self.token.kind == closer:
                refuse("a comma before ')'", self.text, self.token.start)
        self._take(closer)
        return tuple(items)

    def _map(self, position: int) -> ast.Node:
        entries: list[tuple[ast.Node, ast.Node]] = []
        while self.token.kind != "}":
            key = self.expression()
            self._take(":")
            entries.append((key, self.expression()))
            if not self._accept(","):
                break
        self._take("}")
        return ast.MapExpr(tuple(entries), position)


def _check_depth(root: ast.Node, text: str) -> None:
    """Chains such as ``a + b + c`` and ``a.b.c`` nest without brackets; they too must stay within the bound."""
    level: list[ast.Node] = [root]
    for _ in range(limits.EXPRESSION_DEPTH_MAX):
        level = [child for node in level for child in ast.children(node)]
        if not level:
            return
    refuse(f"nested deeper than {limits.EXPRESSION_DEPTH_MAX}", text, getattr(level[0], "position", 0))
