"""What lies below the library: compiled functions, processes that fork, run folders. It imports no other part."""
