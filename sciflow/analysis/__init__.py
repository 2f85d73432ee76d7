"""Records to labelled arrays, optima, failures and figures."""
