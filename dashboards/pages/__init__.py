"""One module per page, each exposing `page(desk)`."""
