"""A live, recorded, replayable market desk for Indian markets on Kite Connect."""
