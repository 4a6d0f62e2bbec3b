"""What the page shows, as HTML and as one image: panes, boxes, rows of results."""
