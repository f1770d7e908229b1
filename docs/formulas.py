"""Typeset displayed formulas as MathML, which browsers draw by themselves."""

from __future__ import annotations

import re

from latex2mathml.converter import convert

#: A formula on lines of its own between two lines with $$.
DISPLAYED = re.compile(r"^\$\$\n(.+?)\n\$\$$", flags=re.DOTALL | re.MULTILINE)


def typeset(markdown: str) -> str:
    """Replace every displayed formula of a page by MathML in a block of its own."""
    return DISPLAYED.sub(lambda found: f'<div class="formula">{convert(found[1], display="block")}</div>', markdown)
