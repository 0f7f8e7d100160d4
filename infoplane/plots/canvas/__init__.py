"""The canvas of figures: pages, styles, titles and labels."""
