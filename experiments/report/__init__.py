"""The report of a run: its contents as data, and as a page of HTML and of Markdown."""
