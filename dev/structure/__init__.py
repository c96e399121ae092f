"""Whether Markdown has the structure of the page: headings, tables, lists and paragraphs of drawn pages."""
