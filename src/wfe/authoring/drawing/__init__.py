"""Pictures of definitions: Mermaid, Graphviz and SVG.

`sketch` turns a definition into boxes and arrows, once for all three; each format has a module of its own. No layout
program is needed: `layout` places the boxes for SVG.
"""

from wfe.authoring.drawing.dot import to_dot
from wfe.authoring.drawing.mermaid import to_mermaid
from wfe.authoring.drawing.several import several
from wfe.authoring.drawing.svg import to_svg

__all__ = ["several", "to_dot", "to_mermaid", "to_svg"]
