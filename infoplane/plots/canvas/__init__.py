"""What figures are drawn on: pages, styles, titles and labels."""
