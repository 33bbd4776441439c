"""What planned builds take: the estimate applied to plans, devices and budgets."""
