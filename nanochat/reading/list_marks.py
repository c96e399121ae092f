"""The marks at the start of list items: bullets, numbers and letters."""

import re

_BULLETS = "-*+•◦▪–"
BULLET = re.compile(f"[{_BULLETS}]")
MARK = re.compile(rf"[{_BULLETS}]|\(?\d{{1,2}}[.)]|\(?[a-z]\)")
"""a mark alone"""
ITEM = re.compile(rf"([{_BULLETS}])\s+|(\d{{1,2}})([.)])\s+|[a-z]\)\s")
"""the beginning of an item: (1) bullet, or (2) number and (3) the sign after it, or a letter"""
