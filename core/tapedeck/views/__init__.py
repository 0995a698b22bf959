"""Live Panel components, the same in a page and in a notebook cell."""
