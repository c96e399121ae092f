"""Reading: from a file to pages of text."""
