"""The simulated exchange: speaks Kite Connect, seeded, with faults on demand."""
