"""The experiments of the paper on CNN features: every table, figure and claim, measured. Start at `settings`."""
