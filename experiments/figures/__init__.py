"""One module for each table or figure of the paper: what it needs, what it computes, and its picture."""
