"""Measures whether Markdown keeps the structure of synthetic pages: headings, tables, lists and paragraphs."""
