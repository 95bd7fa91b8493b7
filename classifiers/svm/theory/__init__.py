"""What an SVM computes, in plain NumPy and float64: read first, and what the fast code is tested against."""
