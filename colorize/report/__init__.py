"""The HTML report: `gather` reads what the pipeline left in plain files, `render` makes one page of it."""
