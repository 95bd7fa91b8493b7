"""What figures are computed with: comparisons, trees of classes, support vector machines, verdicts on claims."""
