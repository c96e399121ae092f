"""Lines: found on a page, put in order, cut out."""
