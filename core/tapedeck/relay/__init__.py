"""How one desk is shared: frames encoded once, gathered per listener, conflated."""
