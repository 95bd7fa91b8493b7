"""Stages, the lab that they work in, the store of their results, and the runner that does them in order."""
