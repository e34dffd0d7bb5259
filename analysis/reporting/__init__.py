"""The report: figures, sections and page, all views of the one table."""
