"""One page of a sweep for colleagues: what was asked, what came out, how sure it is, what it took."""
