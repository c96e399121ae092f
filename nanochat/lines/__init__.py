"""Detecting the lines of text on a page, ordering them, and cutting them out."""
