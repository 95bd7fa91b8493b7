"""Comparisons with other libraries, each against its real peer in the same run. The product never imports these."""
